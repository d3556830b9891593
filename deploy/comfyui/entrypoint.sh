#!/bin/sh
# Starts a command with the proxy of COMFY_PROXY, if COMFY_PROXY_ENABLED is true, and without any otherwise.
set -eu

unset http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY
case "${COMFY_PROXY_ENABLED:-false}" in
    true | 1 | yes | on)
        if [ -z "${COMFY_PROXY:-}" ]; then
            echo "COMFY_PROXY_ENABLED is set and COMFY_PROXY is empty: name the proxy, or set it to false" >&2
            exit 2
        fi
        direct="${COMFY_NO_PROXY:-localhost,127.0.0.1}"
        export http_proxy="$COMFY_PROXY" https_proxy="$COMFY_PROXY" no_proxy="$direct"
        export HTTP_PROXY="$COMFY_PROXY" HTTPS_PROXY="$COMFY_PROXY" NO_PROXY="$direct"
        ;;
    false | 0 | no | off) ;;
    *)
        echo "COMFY_PROXY_ENABLED should be true or false" >&2
        exit 2
        ;;
esac
# The server itself has no use for them, and a proxy's address may hold a password.
unset COMFY_PROXY
exec "$@"
