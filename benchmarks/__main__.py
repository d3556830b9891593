"""``make bench``: every figure in one run, printed as ratios."""

import sys
import tempfile
from pathlib import Path

from benchmarks import (
    access,
    books,
    bulk,
    comfyui,
    feed,
    fleet,
    floor,
    footprint,
    glossary,
    growth,
    latency,
    money,
    parts,
    pixels,
    scheduling,
    throughput,
    workflows,
)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        rows = [
            *footprint.measure(root),
            *latency.measure(root),
            *throughput.measure(root),
            *floor.rows(floor.measure(root)),
            *parts.measure(root),
            *workflows.measure(root),
            *fleet.measure(root),
            *growth.measure(root, growth.SMALL, growth.LARGE),
            *bulk.measure(root),
            *feed.measure(root),
            *money.measure(root),
            *access.measure(root),
            *comfyui.measure(root),
            *scheduling.measure(root),
            *pixels.measure(root),
            *glossary.measure(root),
            *books.measure(root),
        ]
    width = max(len(name) for name, _, _ in rows)
    for name, value, aim in rows:
        print(f"{name:<{width}}  {value:>16}  {aim}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
