#!/bin/sh
# Submit a body, wait for its pictures, save them here. Needs curl and nothing else.
#
#     submit.sh [body.json]
set -eu
url=${IMAGEMILL_URL:-http://127.0.0.1:8700}
body=${1:-$(dirname "$0")/../bodies/text-to-image.json}

# wait=true holds the answer until the jobs are done (202 when that takes very long).
answer=$(curl --silent --show-error --fail-with-body --max-time 120 \
    --header "Authorization: Bearer ${IMAGEMILL_TOKEN:-local}" \
    --header "Content-Type: application/json" \
    --data-binary "@$body" \
    "$url/v1/consumer/jobs?wait=true") || { echo "$answer" >&2; exit 1; }

# A blobUrl is there once a picture is. It is signed: anybody may fetch it, without the token, for an hour.
number=0
for picture in $(printf '%s' "$answer" | grep -o '"blobUrl":"[^"]*"' | cut -d '"' -f 4 | sort -u); do
    number=$((number + 1))
    name=${picture##*/}
    name=picture-$number.${name##*.}
    name=${name%%\?*}
    curl --silent --show-error --fail --output "$name" "$picture"
    echo "$name"
done
[ "$number" -gt 0 ] || { echo "no picture came of it: $answer" >&2; exit 1; }
