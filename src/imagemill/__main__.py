"""``python -m imagemill``."""

from imagemill.cli.app import main

main()
