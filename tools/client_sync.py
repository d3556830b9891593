"""Make the synchronous Python client from the asynchronous one.

    python tools/client_sync.py

reads clients/python/src/imagemill_client/aio.py and writes client.py beside it. A test compares both.
"""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "clients" / "python" / "src" / "imagemill_client"
_HEADING = (
    '"""The synchronous client. Made from `imagemill_client.aio` by tools/client_sync.py: do not edit."""'
)
_WORDS = (
    (r"import AsyncIterator, Callable, Mapping", "import Callable, Iterator, Mapping"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsyncImagemill\b", "Imagemill"),
    (
        r"to a server; close it, or use it in an ``async ",
        "to a server. Thread-safe; close it, or use it in a ``",
    ),
    (r"\bAsyncClient\b", "Client"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b__a(enter|exit)__", r"__\1__"),
    (r"\ba(close|read|iter_lines)\(", r"\1("),
    (r"\basyncio\b", "time"),
    (r"for job in page\.items:\n +yield job\n", "yield from page.items\n"),
)


def synchronous(source: str) -> str:
    """Return the synchronous module for the source of the asynchronous one."""
    _, _, body = source.partition('"""\n')
    for pattern, word in _WORDS:
        body = re.sub(pattern, word, body)
    return f"{_HEADING}\n{body}"


if __name__ == "__main__":
    made = synchronous((FOLDER / "aio.py").read_text(encoding="utf-8"))
    (FOLDER / "client.py").write_text(made, encoding="utf-8")
