"""Output of commands: text for people, or with ``--json`` nothing but JSON on standard output."""

import json
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.domain.control_characters import escape_controls, escape_json
from imagemill.domain.dataclass import dataclass

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from imagemill.config import Settings

REFUSED = 1
"""Exit status: the server refused the request, or the job or check failed."""
DEGRADED = 3
"""Exit status of `imagemill health`: the server works, but jobs wait."""
UNUSABLE = 2
"""Exit status: wrong options or settings, or no server answers."""


_FILE_WIDTH = 200
"""Columns where the output is no terminal, so that tables do not break identifiers across lines."""


def print_file(text: str) -> None:
    """Print a file's text as it is; on a terminal with its control characters escaped."""
    sys.stdout.write(escape_controls(text, keep="\n\r\t") if sys.stdout.isatty() else text)
    sys.stdout.flush()


class CliError(Exception):
    """A command failed; the message is shown to the user.

    ``details`` are further lines, ``body`` is the JSON that ``--json`` prints.
    """

    def __init__(
        self,
        message: str,
        status: int = REFUSED,
        *,
        details: tuple[str, ...] = (),
        body: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.details = details
        self.body = body if body is not None else {"error": message, "details": list(details)}


@dataclass(frozen=True)
class Printer:
    """Prints a command's output. With ``as_json`` standard output holds only JSON."""

    as_json: bool = False

    @cached_property
    def console(self) -> "Console":
        return make_console()

    def json(self, body: Any) -> None:
        """Print one line of JSON; a command that streams events prints a line for each."""
        text = escape_json(json.dumps(body, ensure_ascii=False))
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def say(self, *parts: Any) -> None:
        """Print text, unless the output is JSON."""
        if not self.as_json:
            self.console.print(*parts, soft_wrap=True)

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn a `CliError` into its message and exit status."""
        try:
            yield
        except CliError as error:
            if self.as_json:
                self.json(error.body)
            else:
                print_error(error.message, *error.details)
            raise typer.Exit(error.status) from error


def make_console(*, stderr: bool = False) -> "Console":
    from imagemill.cli.console import SafeConsole

    console = SafeConsole(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, _FILE_WIDTH)
    return console


def print_error(message: str, *details: str) -> None:
    """Print on standard error; markup in the message is not interpreted."""
    from rich.text import Text

    console = make_console(stderr=True)
    console.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    for line in details:
        console.print(f"  {line}", soft_wrap=True)


def print_warning(message: str) -> None:
    from rich.text import Text

    make_console(stderr=True).print(Text.assemble(("warning: ", "yellow"), message), soft_wrap=True)


def print_note(message: str) -> None:
    """Print a line to stderr, beside the answer."""
    make_console(stderr=True).print(message, soft_wrap=True, style="dim")


def make_table(*columns: str) -> "Table":
    """Return a table without borders whose cells fold where they are too wide."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def table_of(rows: list[dict[str, Any]]) -> "Table":
    """Return a table of one or more rows, with a column for each field of the first row."""
    table = make_table(*(name.upper() for name in rows[0]))
    for row in rows:
        table.add_row(*(_format_cell(value) for value in row.values()))
    return table


def _format_cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, bool):
        return "yes" if value else ""
    return str(value)


def mark_level(level: str) -> "Text":
    """Return the coloured sign of a finding's level: ok, warning or error."""
    from rich.text import Text

    sign, style = {"ok": ("✓ ", "green"), "warning": ("! ", "yellow"), "error": ("✗ ", "bold red")}[level]
    return Text(sign, style=style)


Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="IMAGEMILL_URL",
        help="Address of the server. Default: this machine, at the port of the settings.",
    ),
]
Token = Annotated[
    str,
    typer.Option("--token", envvar="IMAGEMILL_TOKEN", help="API key. Any text works until a key exists."),
]
OtherOwner = Annotated[
    str | None, typer.Option("--owner", help="Another owner than yourself; for administrators.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Host = Annotated[
    str | None,
    typer.Option("--host", help="Address to listen on. An address beyond loopback needs an API key."),
]
Port = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes any free port.")
]
Create = Annotated[
    bool, typer.Option("--create", help="Create the database if it does not exist, before a server has.")
]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of database, pictures and secrets.")]
LogLevel = Annotated[str | None, typer.Option("--log-level", help="debug, info, warning or error.")]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        autocompletion=lambda: ["dev", "ci", "fleet", "public"],
        help="Named set of defaults: dev, ci, realistic, fleet or public.",
    ),
]
Reload = Annotated[
    bool, typer.Option("--reload", help="Restart when Imagemill's code changes; for development.")
]

TOKEN = "local"  # noqa: S105 - sent to a server that has no API keys yet


def load_settings(**given: Any) -> "Settings":
    """Read the settings; the options in ``given`` take precedence over all other sources.

    Warns of unknown and former variables. Raises `CliError` for settings that are not valid, or that lack
    what the profile requires.
    """
    from imagemill.bootstrap.settings_check import ignored_variables

    settings = read_settings(**given)
    for line in ignored_variables():
        print_warning(line)
    if problems := settings.profile_problems():
        raise CliError("these settings cannot be used", UNUSABLE, details=tuple(problems))
    return settings


def read_settings(**given: Any) -> "Settings":
    """Read the settings without warnings, even if they lack what the profile requires. Raises `CliError`."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from imagemill.config import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        from imagemill.bootstrap.settings_check import format_errors

        details = tuple(format_errors(error))
        raise CliError("these settings cannot be used", UNUSABLE, details=details) from None
    except tomllib.TOMLDecodeError as error:
        raise CliError(f"imagemill.toml is not TOML: {error}", UNUSABLE) from error
    except (SettingsError, OSError, UnicodeDecodeError) as error:
        raise CliError(f"the settings cannot be read: {error}", UNUSABLE) from error
