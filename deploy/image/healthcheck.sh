#!/bin/sh
# healthcheck.sh [CMDLINE]: the image's HEALTHCHECK. A server must answer; another command has no address, and is
# healthy while it runs. CMDLINE is the file that holds the command line of the container's first process.
set -eu
case "$(tr '\000' ' ' < "${1:-/proc/1/cmdline}")" in
  *" serve "* | *" api "*) ;;
  *) exit 0 ;;
esac
status=0
imagemill health --url "http://127.0.0.1:${IMAGEMILL_PORT:-8700}" || status=$?
# 3 is degraded: jobs wait, but the server answers.
[ "$status" -ne 3 ] || status=0
exit "$status"
