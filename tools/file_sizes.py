"""Refuse source files that have grown past what one reader keeps in mind."""

import subprocess
import sys
from pathlib import Path

MOST_LINES = 600
GENERATED = {"web/src/api/schema.d.ts"}


def main() -> int:
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.ts", "*.tsx"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    sizes = {
        name: len(Path(name).read_text().splitlines())
        for name in names
        if Path(name).exists() and name not in GENERATED
    }
    long = {name: lines for name, lines in sizes.items() if lines > MOST_LINES}
    for name, lines in sorted(long.items()):
        print(f"{name}: {lines} lines, at most {MOST_LINES}; split it along a seam")
    return 1 if long else 0


if __name__ == "__main__":
    sys.exit(main())
