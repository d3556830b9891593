"""``imagemill`` and ``python -m imagemill``."""

import os
import sys


def main() -> None:
    """Run the command line. The list of all commands is printed without loading any."""
    if sys.argv[1:] in (["--help"], ["-h"]):
        from imagemill.cli.root_help import print_root_help

        if print_root_help():
            return
    # pydantic would look for plug-ins of its own in all installed packages. We have none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from imagemill.cli.app import main as run_command

    run_command()


if __name__ == "__main__":
    main()
