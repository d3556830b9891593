"""``python -m imagemill.cli``: the same as the ``imagemill`` script."""

from imagemill.cli.app import main

main()
