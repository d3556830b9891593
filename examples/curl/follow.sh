#!/bin/sh
# Print a job's events as they happen (server-sent events), until its last one.
#
#     follow.sh JOB [LAST_EVENT_SEEN]
set -eu
url=${IMAGEMILL_URL:-http://127.0.0.1:8700}
exec curl --silent --show-error --fail-with-body --no-buffer \
    --header "Authorization: Bearer ${IMAGEMILL_TOKEN:-local}" \
    --header "Last-Event-ID: ${2:-0}" \
    "$url/api/v1/jobs/${1:?the id of a job}/events"
