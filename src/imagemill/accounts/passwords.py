"""Password hashing. It is slow on purpose, so it has a few threads of its own and does not delay the API."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from imagemill.domain.errors import Busy, InvalidInput

if TYPE_CHECKING:
    from pwdlib.hashers.argon2 import Argon2Hasher

SHORTEST, LONGEST = 10, 256
_PASSES = 3
"""With 64 MB of memory the second recommended option of RFC 9106, but with a parallelism of 1: the other
cores are for the API."""

_R = TypeVar("_R")


THREADS = 2
"""Passwords hashed at once; the other cores are for the API."""
WAITING = 16
"""Logins that may wait for a thread; more get a 503 with Retry-After."""


class Passwords:
    """Hashes and verifies with argon2id. Each call returns a future at once or raises `Busy`."""

    def __init__(self, memory_mb: int, *, threads: int = THREADS, waiting: int = WAITING) -> None:
        self._memory_mb = memory_mb
        self._places = threading.BoundedSemaphore(threads + waiting)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="imagemill-passwords")

    def hash(self, password: str) -> "Future[str]":
        return self._begin(lambda: self._hasher.hash(password))

    def verify(self, password: str, hash_: str | None) -> "Future[bool]":
        """Whether the password fits the hash. None, for an unknown user, takes as long and gives False."""

        def check() -> bool:
            fits = self._hasher.verify(password, hash_ or self._dummy_hash)
            return fits and hash_ is not None

        return self._begin(check)

    def close(self) -> None:
        self._pool.shutdown()

    @cached_property
    def _hasher(self) -> "Argon2Hasher":
        # Imported at the first login: most installations have keys only.
        from pwdlib.hashers.argon2 import Argon2Hasher

        return Argon2Hasher(time_cost=_PASSES, memory_cost=self._memory_mb * 1024, parallelism=1)

    @cached_property
    def _dummy_hash(self) -> str:
        return self._hasher.hash("nobody's password")

    def _begin(self, work: Callable[[], _R]) -> "Future[_R]":
        if not self._places.acquire(blocking=False):
            raise Busy("too many logins at once; try again in a moment")
        try:
            future = self._pool.submit(work)
        except RuntimeError as error:
            self._places.release()
            raise Busy("the server is stopping") from error
        future.add_done_callback(self._release)
        return future

    def _release(self, _: "Future[Any]") -> None:
        self._places.release()


def check_password(path: str, password: str, email: str) -> None:
    """Raise `InvalidInput` for a password that is not accepted."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInput.at(path, f"should be {SHORTEST} to {LONGEST} characters long")
    if password.lower() in (email, email.partition("@")[0]):
        raise InvalidInput.at(path, "should not be the e-mail address")
    if len(set(password)) < 4:
        raise InvalidInput.at(path, "should have at least 4 different characters")
