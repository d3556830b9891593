"""What a success leaves besides the job: rows of the library and of characters, in the same transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagemill.domain.jobs import Artifact, Job
from imagemill.domain.records import CharacterImage, LibraryEntry, Record
from imagemill.store import characters, library
from imagemill.store.commits import Tx


@dataclass(frozen=True, slots=True)
class Recorded:
    """``artifacts``: the picture, then its thumbnail. ``details``: of the job's last event."""

    job: Job
    record: Any
    artifacts: tuple[Artifact, ...]
    details: Mapping[str, Any]
    at: int


_WRITERS: Mapping[type[Record], Callable[[Tx, Sequence[Recorded]], None]] = {
    LibraryEntry: library.enter,
    CharacterImage: characters.enter,
}


def record(tx: Tx, ended: Sequence[Recorded]) -> None:
    """The rows of ``ended``; the rows of their jobs are locked."""
    for kind, write in _WRITERS.items():
        if of_kind := [each for each in ended if isinstance(each.record, kind)]:
            write(tx, of_kind)
