"""Answers of a language model by the digest of what it was asked, shared by all processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from imagemill.domain.clock import now_us
from imagemill.store import character_tables
from imagemill.store.commits import Tx

_translations = character_tables.translations.c


@dataclass(frozen=True, slots=True)
class _Entry:
    key: str
    body: str
    now: int


class Translations:
    """What `imagemill.store.store.Store` offers about translations."""

    def __init__(self, write: Callable[..., Any], read: Callable[..., Any]) -> None:
        self._write = write
        self._read = read

    def get(self, key: str) -> str | None:
        return self._read(_get, key)

    def put(self, key: str, text: str) -> None:
        """The first answer stays, so that all who ask get the same."""
        self._write(_put, _Entry(key, text, now_us()))

    def prune(self, before: int) -> int:
        """Forget what is older than an instant; how many."""
        return self._write(_prune, before)


def _get(conn: sa.Connection, key: str) -> str | None:
    return conn.scalar(sa.select(_translations.body).where(_translations.key == key))


def _put(tx: Tx, entries: Sequence[_Entry]) -> list[None]:
    for entry in entries:
        row = {"key": entry.key, "body": entry.body, "created_at": entry.now}
        tx.conn.execute(tx.insert(character_tables.translations).values(row).on_conflict_do_nothing())
    return [None] * len(entries)


def _prune(tx: Tx, instants: Sequence[int]) -> list[int]:
    return [
        tx.conn.execute(
            sa.delete(character_tables.translations).where(_translations.created_at < instant)
        ).rowcount
        for instant in instants
    ]
