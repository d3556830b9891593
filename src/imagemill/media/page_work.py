"""Work of the press on pictures and documents."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file that a work has made."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class PageResult:
    """The files of a work, and values that are JSON."""

    files: tuple[PageFile, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])


class PageWork(Protocol):
    """Work on files. A frozen dataclass at module level, so that it can be pickled."""

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult: ...
