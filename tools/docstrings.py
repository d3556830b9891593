"""Refuse docstrings in src that begin with "Of ...", "What ...", "None: ..." and the like.

A docstring is a sentence with its subject ("The ids of ...") or a verb in the imperative ("Return the ...").
The strings after attributes and constants count as docstrings, too.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path("src/imagemill")
REFUSED = re.compile(r"\s*(?:(?:Of|What|Whose|Who|Whom|As)\s|None:)")


def find_refused(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and first line of each docstring that is refused."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            value = node.value.value
            if isinstance(value, str) and REFUSED.match(value):
                yield node.lineno, value.strip().splitlines()[0]


def main() -> int:
    count = 0
    for path in sorted(SOURCE.rglob("*.py")):
        for line, start in sorted(find_refused(path.read_text())):
            count += 1
            print(f"{path}:{line}: {start[:60]!r} is not a sentence; begin with its subject or an imperative")
    if count:
        print(f"{count} docstrings to rewrite")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
