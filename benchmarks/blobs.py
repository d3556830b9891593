"""``python -m benchmarks.blobs``: a picture in and out again, a folder beside a real SeaweedFS."""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

from benchmarks.processes import Row
from imagemill.blobs.base import BlobStore
from imagemill.blobs.local import LocalBlobs
from imagemill.blobs.s3 import S3Blobs
from tests.seaweed import running

_SIZES = {"100 kB": 100_000, "1.5 MB": 1_500_000}
"""A thumbnail or JPEG, and a PNG of a megapixel."""
_TIMES = 60


def measure(root: Path) -> list[Row]:
    with running(root / "seaweed") as seaweed:
        # Turn and turn about, so that a slow moment of the machine hits both.
        stores: dict[str, BlobStore] = {
            "folder": LocalBlobs(root / "folder"),
            "SeaweedFS": S3Blobs(seaweed.settings()),
        }
        rows: list[Row] = []
        for name, size in _SIZES.items():
            rows += _of_size(stores, name, os.urandom(size))
        return rows


def _of_size(stores: dict[str, BlobStore], name: str, data: bytes) -> list[Row]:
    taken: dict[tuple[str, str], list[float]] = {}
    for number in range(_TIMES):
        key = f"jobs/{len(data)}/1/{number}.png"
        for where, blobs in stores.items():
            acts: dict[str, Callable[[], object]] = {
                "create": lambda blobs=blobs, key=key: blobs.create(key, data, "image/png"),
                "get": lambda blobs=blobs, key=key: blobs.get(key),
                "read": lambda blobs=blobs, key=key: blobs.read(key, 0, len(data)),
            }
            for verb, act in acts.items():
                begin = time.perf_counter()
                act()
                taken.setdefault((verb, where), []).append((time.perf_counter() - begin) * 1000)
    return [
        (f"{verb} {name}, {where}: median, p95", f"{median(ms):.2f} {quantiles(ms, n=20)[-1]:.2f} ms", "")
        for (verb, where), ms in sorted(taken.items())
    ]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        for name, value, _ in measure(Path(folder)):
            print(f"{name:<40}  {value:>16}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
