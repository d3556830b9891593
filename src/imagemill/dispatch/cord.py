"""Between Celery's own process and the children of its pool: it asks them to leave, they tell when they have.

Celery itself sends its children nothing but what ends them. Two pipes do it: an end that everybody has
closed, or died with, is seen at the other one.
"""

import os
import select
import threading
from collections.abc import Callable


class Cord:
    """Made before the pool forks."""

    def __init__(self) -> None:
        self._asked, self._ask = os.pipe()
        self._all_left, self._left = os.pipe()

    def hold(self, leave: Callable[[], None]) -> None:
        """In a child: call ``leave`` in a thread once the cord is pulled or the parent is gone."""
        os.close(self._ask)
        os.close(self._all_left)
        threading.Thread(target=self._wait, args=(leave,), name="imagemill-cord", daemon=True).start()

    def pull(self, patience_s: float) -> bool:
        """In the parent, once: ask all to leave; whether all did in time. Later forks must not hold."""
        os.close(self._ask)
        os.close(self._left)
        return bool(select.select([self._all_left], [], [], patience_s)[0])

    def _wait(self, leave: Callable[[], None]) -> None:
        os.read(self._asked, 1)
        try:
            leave()
        finally:
            os.close(self._left)
