"""The records that the jobs of books leave, written in the transactions of their successes."""

from collections.abc import Sequence
from typing import Any

from imagemill.backends.base import OUTPUT
from imagemill.db.group_commit import Tx
from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import Artifact
from imagemill.jobs.store.finish import Recorded
from imagemill.products.books.facts import AnalysisFact, FileFact, FileKind
from imagemill.products.books.store import deleted_books, lock_books, mark_erased, put_analyses, put_files


@dataclass(frozen=True, slots=True)
class AnalysisEntry:
    """The answer about the photo of a character; ``position`` is the character's in the manifest."""

    personalization: str
    character: str
    position: int


@dataclass(frozen=True, slots=True)
class FilesEntry:
    """Files of a book. ``kinds`` are those of the job's files by position."""

    personalization: str
    kinds: tuple[FileKind, ...]
    page: int = 0
    version: int = 0
    edition: str = ""


@dataclass(frozen=True, slots=True)
class ErasureEntry:
    """A deletion of the photo, or of everything."""

    personalization: str
    photo_only: bool


def record_analyses(tx: Tx, ended: Sequence[Recorded]) -> None:
    for each in _of_kept_books(tx, ended):
        entry: AnalysisEntry = each.record
        values = _values(each)
        problem, message = values.get("problem"), values.get("message")
        usable = bool(values.get("usable"))
        fact = AnalysisFact(entry.character, usable, problem, message)
        put_analyses(tx, [(entry.personalization, fact)], each.at)
        kinds = (FileKind.DETAILS, FileKind.CROP)
        rows = [
            (entry.personalization, _file(artifact, kind, entry.position, 0, "", {}, each.at))
            for kind, artifact in zip(kinds, each.artifacts, strict=False)
        ]
        put_files(tx, rows)


def record_files(tx: Tx, ended: Sequence[Recorded]) -> None:
    for each in _of_kept_books(tx, ended):
        entry: FilesEntry = each.record
        at = (entry.page, entry.version, entry.edition)
        rows = [
            (entry.personalization, _file(artifact, kind, *at, _values(each), each.at))
            for kind, artifact in zip(entry.kinds, each.artifacts, strict=False)
        ]
        put_files(tx, rows)


def record_erasures(tx: Tx, ended: Sequence[Recorded]) -> None:
    for each in ended:
        entry: ErasureEntry = each.record
        mark_erased(tx, entry.personalization, photo_only=entry.photo_only, now=each.at)


def _of_kept_books(tx: Tx, ended: Sequence[Recorded]) -> list[Recorded]:
    """Return those whose books were not deleted meanwhile; files of the others become orphans."""
    ids = [each.record.personalization for each in ended]
    lock_books(tx, ids)
    gone = deleted_books(tx.conn, ids)
    return [each for each in ended if each.record.personalization not in gone]


def _values(ended: Recorded) -> dict[str, Any]:
    return dict(ended.details.get(OUTPUT) or {})


def _file(
    artifact: Artifact, kind: FileKind, page: int, version: int, edition: str, body: dict[str, Any], at: int
) -> FileFact:
    return FileFact(
        kind,
        page,
        version,
        edition,
        artifact.blob_key,
        artifact.sha256,
        artifact.media_type,
        artifact.size,
        at,
        body,
    )
