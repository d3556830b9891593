"""CPU time and memory of whole trees of processes."""

from collections.abc import Iterable
from contextlib import suppress

import psutil


def tree(roots: Iterable[int]) -> list[psutil.Process]:
    """Return the processes with these ids and all that they started."""
    found: dict[int, psutil.Process] = {}
    for root in roots:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(root)
            found |= {each.pid: each for each in [process, *process.children(recursive=True)]}
    return list(found.values())


def cpu_s(roots: Iterable[int]) -> float:
    """Return the CPU seconds that the trees have used, those of their processes that ended included."""
    total = 0.0
    for process in tree(roots):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def memory_mb(roots: Iterable[int]) -> float:
    """Return the memory of the trees; pages that processes share count once."""
    total = 0
    for process in tree(roots):
        with suppress(psutil.NoSuchProcess):
            try:
                total += process.memory_full_info().pss
            except psutil.AccessDenied:
                total += process.memory_info().rss
    return total / 2**20
