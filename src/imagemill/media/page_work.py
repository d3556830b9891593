"""The interface of page work: what a child process of the press does on the CPU with pictures and documents.

The press sends the work to the process as a pickle; only data comes back. See `imagemill.backends.press`.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import field
from typing import Any, Protocol

from imagemill.domain.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file that page work makes, of any type: a picture, a PDF."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class PageResult:
    files: tuple[PageFile, ...] = ()
    """The job's outputs, by position."""
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The job's JSON output, at most 64 KB; empty if there is none."""


class PageWork(Protocol):
    """Work for `imagemill.domain.images.PageSpec`. Picklable by name: a frozen dataclass at module level."""

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        """Return the files made of the inputs, which `Plan.inputs` and `Plan.data` name.

        May call `report` after each page. Raises `BackendError` for a failure with a known cause,
        `imagemill.media.layout.InvalidImage` for an input that cannot be decoded, and `MissingExtra`.
        """
        ...


Report = Callable[[int, int, str], None]
REPORTER: ContextVar[Report | None] = ContextVar("imagemill_page_report", default=None)
"""Receives the progress of the work that runs in this context; None where nobody wants it."""


def report(done: int, total: int, note: str = "") -> None:
    """Report that ``done`` of ``total`` pages are made. Does nothing outside the press."""
    if (send := REPORTER.get()) is not None:
        send(done, total, note)
