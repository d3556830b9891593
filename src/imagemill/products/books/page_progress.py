"""The progress of a book in a terminal: a bar for each page, until the book is in a wanted state."""

import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self

from imagemill.cli.client import ApiError, Client, ServerUnreachable
from imagemill.cli.follow import GIVE_UP_S
from imagemill.cli.output import CliError, Printer
from imagemill.products.books.book_client import read_book

if TYPE_CHECKING:
    from rich.progress import TaskID

_POLL_S = 0.25
_FAILED = ("analysis_failed", "generation_failed", "canceled")
_NAMES = {0: "reference", 1001: "front cover", 1002: "back cover"}
_FIRST_FILL = 1101
_STEPS = {
    "pending_analysis": "the photo waits for its analysis",
    "analyzing": "the photo is analysed",
    "analyzed": "the reference sheet follows",
    "reference_generating": "the reference sheet is drawn",
    "full_generating": "the pages and the proof are made",
    "proof_ready": "the print files are laid out",
}


def page_name(number: int) -> str:
    """Return how people call a page: ``page 3``, ``front cover``, ``fill page 1``."""
    if number >= _FIRST_FILL:
        return f"fill page {number - _FIRST_FILL + 1}"
    return _NAMES.get(number, f"page {number}")


def wait_for(client: Client, out: Printer, id_: str, states: Collection[str]) -> dict[str, Any]:
    """Show the pages until the book is in one of the states, and return it then.

    Raises `CliError` when it fails, or when the server stays away for `GIVE_UP_S`.
    """
    with open_display(out) as display:
        return watch(client, display, id_, states)


def open_display(out: Printer) -> "BookDisplay":
    """Return a display of a book: bars on a terminal, else lines."""
    return _Bars(out) if out.console.is_terminal and not out.as_json else _Lines(out)


def watch(client: Client, display: "BookDisplay", id_: str, states: Collection[str]) -> dict[str, Any]:
    """Show the pages on a display that is open; see `wait_for`."""
    while True:
        book = _read_patiently(client, id_)
        display.show(book)
        if book["state"] in states:
            return book
        if book["state"] in _FAILED:
            raise CliError(f"the book is {book['state']}: {reason(book)}", body=book)
        time.sleep(_POLL_S)


def reason(book: Mapping[str, Any]) -> str:
    """Return why a book has failed, in a sentence for people."""
    messages = [each["message"] for each in book["analyses"] if each["message"] and each["usable"] is False]
    failed = [page for page in book["pages"] if page["state"] == "failed"]
    errors = [
        f"{page_name(page['page'])}: {version['error']}"
        for page in failed
        for version in page["versions"][-1:]
    ]
    return "; ".join([*messages, *errors]) or book["problem"] or "no reason was given"


def _read_patiently(client: Client, id_: str) -> dict[str, Any]:
    """Return a book; retries for `GIVE_UP_S` while the server restarts."""
    deadline = time.monotonic() + GIVE_UP_S
    while True:
        try:
            return read_book(client, id_)
        except (ServerUnreachable, ApiError) as error:
            is_refused = isinstance(error, ApiError) and error.status_code < 500
            if time.monotonic() > deadline or is_refused:
                raise
        time.sleep(_POLL_S)


def _pages(book: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the pages that are being made now: the reference sheet, or those of the book."""
    if book["pages"]:
        return book["pages"]
    return [book["reference"]] if book["reference"] is not None else []


def _note(page: Mapping[str, Any]) -> str:
    if page["state"] != "ready":
        return page["state"]
    score = "" if page["score"] is None else f", score {page['score']:.2f}"
    return f"ready{score}{', look at it' if page['flagged'] else ''}"


class BookDisplay(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, book: Mapping[str, Any]) -> None: ...


class _Lines:
    """Prints a line when a page is ready or has failed."""

    def __init__(self, out: Printer) -> None:
        self._out = out
        self._shown: dict[int, tuple[str, int | None]] = {}
        self._state = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def show(self, book: Mapping[str, Any]) -> None:
        if book["state"] != self._state:
            self._state = book["state"]
            if step := _STEPS.get(self._state):
                self._out.say(f"  {step}")
        for page in _pages(book):
            mark = page["state"], page["version"]
            if page["state"] in ("ready", "failed") and self._shown.get(page["page"]) != mark:
                self._shown[page["page"]] = mark
                self._out.say(f"  {page_name(page['page']):<12} {_note(page)}")


class _Bars:
    """Shows a bar for each page."""

    def __init__(self, out: Printer) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._bars: Progress = Progress(
            TextColumn("  {task.description:<12}"),
            BarColumn(30, complete_style="cyan", finished_style="green", pulse_style="cyan"),
            TextColumn("{task.fields[note]}"),
            console=out.console,
        )
        self._tasks: dict[int, TaskID] = {}
        self._step: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._step is not None:
            self._bars.remove_task(self._step)
        self._bars.stop()

    def show(self, book: Mapping[str, Any]) -> None:
        for page in _pages(book):
            number, state = page["page"], page["state"]
            task = self._tasks.get(number)
            if task is None:
                task = self._tasks[number] = self._bars.add_task(page_name(number), total=1, note="")
            # Without a total the bar moves to and fro.
            done = state in ("ready", "failed")
            total = None if state == "generating" else 1
            self._bars.update(task, total=total, completed=1 if done else 0, note=_note(page))
        self._show_step(book["state"])

    def _show_step(self, state: str) -> None:
        """Show a moving bar for what is no page: the analysis, the print files."""
        step = _STEPS.get(state)
        if self._step is None and step is not None:
            self._step = self._bars.add_task("", total=None, note=step)
        elif self._step is not None:
            self._bars.update(self._step, note=step or "", visible=step is not None)
