"""Writing down who changed what of the installation."""

import logging

from imagemill.domain.clock import now_us, uuid7
from imagemill.domain.errors import StorageError
from imagemill.store.audit import AuditLog, Entry

log = logging.getLogger(__name__)


class Audit:
    def __init__(self, entries: AuditLog) -> None:
        self._entries = entries

    def note(
        self, actor: str, credential: str, action: str, target: str = "", detail: str = "", address: str = ""
    ) -> None:
        """What was done is done: a line that cannot be written is in the process's log instead."""
        now = now_us()
        entry = Entry(
            uuid7(now), now, actor, credential[:64], action[:64], target[:200], detail[:2000], address[:64]
        )  # fmt: skip
        try:
            self._entries.add(entry)
        except StorageError:
            log.exception("the audit log has no line of this: %s", entry)

    def page(self, before: str | None, limit: int, actor: str | None = None) -> list[Entry]:
        """The newest first."""
        return self._entries.page(before, limit, actor)
