#!/bin/sh
# Starts what the container is for: a server, which makes a key if it has none, or another command of imagemill.
set -eu
[ $# -gt 0 ] || set -- serve
case "$1" in
  imagemill | python | sh | bash | /*) exec "$@" ;;
  serve) shift && exec imagemill serve --generate-key "$@" ;;
  *) exec imagemill "$@" ;;
esac
