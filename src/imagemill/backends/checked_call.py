"""A call in a thread of its own, whose end is awaited together with something else."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

_T = TypeVar("_T")
_POLL_S = 0.05
"""Seconds between two checks of whether the caller should stop."""


class CheckedCall(Generic[_T]):
    """Starts the call at once."""

    def __init__(self, call: Callable[[], _T], *, name: str) -> None:
        self._call = call
        self._done = threading.Event()
        self._result: _T | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def wait(self, check: Callable[[], None]) -> _T:
        """Return the result once there is one, or raise its error. ``check`` is called meanwhile and may
        raise, which leaves the call to its end."""
        while not self._done.wait(_POLL_S):
            check()
        if self._error is not None:
            raise self._error
        return cast(_T, self._result)

    def _work(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self._error = error
        self._done.set()
