"""The thread that has products submit what follows from jobs that have ended."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping

from imagemill.db.group_commit import StatusChange
from imagemill.domain.errors import StorageError
from imagemill.jobs.submit import Submitter
from imagemill.products.base import ProductParts

log = logging.getLogger(__name__)


class Advancer:
    """Calls `ProductParts.advance` after as many seconds as ``idle_s`` returns at most, in the process where
    ``leads`` returns True, and soon after `wake`.

    Products that do not override it cost nothing; without one that does, there is no thread. ``share`` wakes
    the other processes.
    """

    def __init__(
        self,
        products: Mapping[str, ProductParts],
        submitter: Callable[[], Submitter],
        *,
        idle_s: Callable[[], float],
        leads: Callable[[], bool],
        share: Callable[[], None],
    ) -> None:
        self._products = {
            name: parts for name, parts in products.items() if type(parts).advance is not ProductParts.advance
        }
        self._recipes = frozenset(
            recipe.name for parts in self._products.values() for recipe in parts.recipes
        )
        self._submitter = submitter
        self._idle_s = idle_s
        self._leads = leads
        self._share = share
        self._due = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._products:
            self._thread = threading.Thread(target=self._serve, name="imagemill-advance", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def wake(self) -> None:
        """Have the products called soon. Never blocks."""
        self._due.set()

    def wake_all(self) -> None:
        """Have the products called soon in whichever process leads. Never blocks."""
        self.wake()
        self._share()

    def concerns(self, changes: Iterable[StatusChange]) -> bool:
        """Whether a job ended from which others may follow."""
        return bool(self._recipes) and any(
            change.to.is_terminal and change.recipe in self._recipes for change in changes
        )

    def advance(self) -> None:
        """Call each product once. An error of one is logged and does not hold the others."""
        for name, parts in self._products.items():
            try:
                parts.advance(self._submitter())
            except StorageError as error:
                log.warning(
                    "the product %s could not submit its next jobs, which is retried: %s", name, error
                )
            except Exception:
                log.exception("a bug in the product %s: it did not submit its next jobs", name)

    def _serve(self) -> None:
        while not self._closed:
            self._due.clear()
            try:
                if self._leads():
                    self.advance()
            except StorageError as error:
                log.warning("the leader is not known: %s", error)
            self._due.wait(self._idle_s())
