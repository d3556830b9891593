"""A blob store that reports the duration and result of each operation of another store."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from imagemill.blobs.base import BlobInfo, BlobStore, Method, NewBlob
from imagemill.domain.errors import Conflict, NotFound

Observe = Callable[[str, str, float], None]
"""Called with the operation, its result (``ok``, ``absent``, ``conflict``, ``error``) and its seconds."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


class MeteredBlobs:
    def __init__(self, blobs: BlobStore, observe: Observe) -> None:
        self._blobs = blobs
        self._observe = observe

    def put(self, key: str, data: bytes, media_type: str) -> None:
        self._measure("put", self._blobs.put, key, data, media_type)

    def create(self, key: str, data: bytes, media_type: str) -> None:
        self._measure("create", self._blobs.create, key, data, media_type)

    def create_all(self, blobs: Sequence[NewBlob]) -> None:
        self._measure("create", self._blobs.create_all, blobs)

    def get(self, key: str) -> bytes:
        return self._measure("get", self._blobs.get, key)

    def read(self, key: str, start: int, stop: int) -> bytes:
        return self._measure("read", self._blobs.read, key, start, stop)

    def location(self, key: str) -> Path | None:
        return self._blobs.location(key)

    def presign(self, method: Method, key: str, life_s: float) -> str | None:
        return self._blobs.presign(method, key, life_s)

    def delete(self, keys: Iterable[str]) -> None:
        self._measure("delete", self._blobs.delete, keys)

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        """Not measured, as its duration depends on how fast the caller iterates."""
        return self._blobs.list(prefix)

    def ping(self) -> None:
        self._measure("ping", self._blobs.ping)

    def close(self) -> None:
        self._blobs.close()

    def _measure(
        self,
        operation: str,
        do: Callable[_P, _R],
        *args: _P.args,
        **named: _P.kwargs,
    ) -> _R:
        result = "error"
        start = time.perf_counter()
        try:
            done = do(*args, **named)
            result = "ok"
        except NotFound:
            result = "absent"
            raise
        except Conflict:
            result = "conflict"
            raise
        finally:
            self._observe(operation, result, time.perf_counter() - start)
        return done
