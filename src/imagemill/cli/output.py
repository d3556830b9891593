"""What commands print: text for people, or with ``--json`` nothing but JSON on standard output."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

REFUSED = 1
"""Exit status: the server, or the job, said no."""
UNUSABLE = 2
"""Exit status: wrong options or settings, or no server to ask."""


_FILE_WIDTH = 200
"""Characters a line where no terminal folds them: tables keep their identifiers in one piece."""


class Trouble(Exception):
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
class Out:
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
        """Turn a `Trouble` into its message and exit status."""
        try:
            yield
        except Trouble as trouble:
            if self.as_json:
                self.json(trouble.body)
            else:
                complain(trouble.sentence, *trouble.details)
            raise typer.Exit(trouble.status) from trouble


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
