"""What commands print: text for people, or with ``--json`` nothing but JSON on standard output."""

import json
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from imagemill.config import Settings

REFUSED = 1
"""Exit status: the server, or the job, said no."""
UNUSABLE = 2
"""Exit status: wrong options or settings, or no server to ask."""


_FILE_WIDTH = 200
"""Characters a line where no terminal folds them: tables keep their identifiers in one piece."""


class CliError(Exception):
    """The end of a command, told in a sentence; ``details``: further lines; ``body``: for ``--json``."""

    def __init__(
        self,
        sentence: str,
        status: int = REFUSED,
        *,
        details: tuple[str, ...] = (),
        body: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status
        self.details = details
        self.body = body if body is not None else {"error": sentence, "details": list(details)}


@dataclass(frozen=True, slots=True)
class Printer:
    """``as_json``: machines read standard output."""

    as_json: bool = False
    console: "Console" = field(default_factory=lambda: console())

    def json(self, body: Any) -> None:
        """One line of JSON; a list of pages or events is one line each."""
        sys.stdout.write(json.dumps(body, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def say(self, *parts: Any) -> None:
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
                complain(error.sentence, *error.details)
            raise typer.Exit(error.status) from error


def console(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = max(made.width, _FILE_WIDTH)
    return made


def complain(sentence: str, *details: str) -> None:
    """On standard error, as it is: nothing in it is markup."""
    from rich.text import Text

    errors = console(stderr=True)
    errors.print(Text.assemble(("error: ", "bold red"), sentence), soft_wrap=True)
    for line in details:
        errors.print(f"  {line}", soft_wrap=True)


def warn(sentence: str) -> None:
    from rich.text import Text

    console(stderr=True).print(Text.assemble(("warning: ", "yellow"), sentence), soft_wrap=True)


def fail(sentence: str, status: int = UNUSABLE, *details: str) -> NoReturn:
    """For commands without ``--json``."""
    complain(sentence, *details)
    raise typer.Exit(status)


Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="IMAGEMILL_URL",
        help="The server. Default: this machine, at the port of the settings.",
    ),
]
Token = Annotated[
    str,
    typer.Option("--token", envvar="IMAGEMILL_TOKEN", help="API key; any will do until keys are made."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Host = Annotated[
    str | None, typer.Option("--host", help="Address to listen on; beyond loopback only with keys.")
]
Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port; 0: any free one.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of database, pictures and secrets.")]
LogLevel = Annotated[str | None, typer.Option("--log-level", help="debug, info, warning or error.")]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        autocompletion=lambda: ["dev", "ci", "fleet", "public"],
        help="Named set of defaults: dev, ci, fleet or public.",
    ),
]
Reload = Annotated[bool, typer.Option("--reload", help="Start again when our code changes; for development.")]

TOKEN = "local"  # noqa: S105 - what a server that knows no keys is told


def load_settings(**given: Any) -> "Settings":
    """The settings; options that were given go before all other sources.

    Raises `CliError` for wrong ones, and where the profile requires more. Warns of misspelt and former names.
    """
    from imagemill.cli.settings_check import unknown_variables, variables

    settings = read_settings(**given)
    for line in unknown_variables(variables()):
        warn(line)
    if problems := settings.profile_problems():
        raise CliError("these settings cannot be used", UNUSABLE, details=tuple(problems))
    return settings


def read_settings(**given: Any) -> "Settings":
    """As `load_settings`, without warnings and whatever the profile requires."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from imagemill.config import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        from imagemill.cli.settings_check import format_errors

        details = tuple(format_errors(error))
        raise CliError("these settings cannot be used", UNUSABLE, details=details) from None
    except tomllib.TOMLDecodeError as error:
        raise CliError(f"imagemill.toml is not TOML: {error}", UNUSABLE) from error
    except (SettingsError, OSError, UnicodeDecodeError) as error:
        raise CliError(f"the settings cannot be read: {error}", UNUSABLE) from error
