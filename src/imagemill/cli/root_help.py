"""The help of ``imagemill`` itself, printed from the table of commands.

It looks as Typer's own, whose libraries alone take longer to import than all of this. Where the output is
unusual, Typer prints it.
"""

import os
import sys
from collections.abc import Iterator

from imagemill.cli.command_table import CLIENT, COMMANDS, EPILOG, PANELS, PRODUCTS, TITLE, VERSION_HELP

_OPTIONS = (
    ("--version", "", VERSION_HELP),
    ("--install-completion", "", "Install completion for the current shell."),
    (
        "--show-completion",
        "",
        "Show completion for the current shell, to copy it or customize the installation.",
    ),
    ("--help", "-h", "Show this message and exit."),
)
_LEAST_WIDTH = 80
"""Columns below which Typer shortens the names of options."""
_UNUSUAL = (
    *("FORCE_COLOR", "GITHUB_ACTIONS", "NO_COLOR", "PY_COLORS", "TERMINAL_WIDTH"),
    *("TTY_COMPATIBLE", "TTY_INTERACTIVE", "_TYPER_FORCE_DISABLE_TERMINAL"),
)
"""Variables that change how Typer prints."""
_NAME, _SWITCH, _TYPE, _DIM, _BOLD, _USAGE = "1;36", "1;32", "1;33", "2", "1", "1;33"


def print_root_help() -> bool:
    """Print the help; return False, with nothing printed, where Typer has to."""
    width = _width()
    if width < _LEAST_WIDTH or any(os.environ.get(name) for name in _UNUSUAL) or os.name == "nt":
        return False
    is_terminal = sys.stdout.isatty()
    if is_terminal and os.environ.get("TERM", "").lower() in ("", "dumb", "unknown"):
        return False
    if not sys.stdout.encoding.lower().startswith("utf") or not _has_our_products_only():
        return False
    program = os.path.basename(sys.argv[0])
    if program == "__main__.py":
        program = "python -m imagemill"
    sys.stdout.write("\n".join(help_lines(program, width, is_terminal)) + "\n")
    sys.stdout.flush()
    return True


def _width() -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit():
        return int(columns) or _LEAST_WIDTH
    for stream in range(3):
        try:
            return os.get_terminal_size(stream).columns or _LEAST_WIDTH
        except OSError:
            continue
    return _LEAST_WIDTH


def _has_our_products_only() -> bool:
    """Whether the products whose commands are listed here are those that are installed."""
    from importlib.metadata import entry_points

    return {entry.name for entry in entry_points(group="imagemill.products")} == PRODUCTS.keys()


def help_lines(program: str, width: int, is_coloured: bool) -> Iterator[str]:
    def paint(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if is_coloured and text else text

    def panel(title: str, rows: list[tuple[str, int, str]]) -> Iterator[str]:
        """The lines of a frame. A row is what begins it, coloured, the width of that, and a text."""
        yield paint(f"╭─ {title} {'─' * (width - len(title) - 5)}╮", _DIM)
        side = paint("│", _DIM)
        for start, indent, text in rows:
            space = width - indent - 4
            for number, line in enumerate(_wrapped(text, space)):
                yield f"{side} {start if number == 0 else ' ' * indent}{line:<{space}} {side}"
        yield paint(f"╰{'─' * (width - 2)}╯", _DIM)

    yield ""
    yield f" {paint('Usage: ', _USAGE)}{paint(f'{program} [OPTIONS] COMMAND [ARGS]...', _BOLD)}"
    yield ""
    yield from (f" {line}" for line in _wrapped(TITLE, width - 2))
    yield ""
    kind = paint("<", f"1;2;{_TYPE[2:]}") + paint("bool", _TYPE) + paint(">", f"1;2;{_TYPE[2:]}")
    rows = [
        (f"{paint(f'{name:<22}', _NAME)}{paint(f'{switch:<8}', _SWITCH)}{kind}  ", 38, text)
        for name, switch, text in _OPTIONS
    ]
    yield from panel("Options", rows)
    indent = max(map(len, (*COMMANDS, *PRODUCTS))) + 2
    for title in PANELS:
        listed = {name: entry.summary for name, entry in COMMANDS.items() if entry.panel == title}
        listed |= PRODUCTS if title == CLIENT else {}
        yield from panel(
            title, [(paint(f"{name:<{indent}}", _NAME), indent, text) for name, text in listed.items()]
        )
    yield ""
    yield from (f" {line}" for line in _wrapped(EPILOG, width - 2))
    yield ""


def _wrapped(text: str, width: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line
