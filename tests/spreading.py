"""Which tests go together to one process of pytest-xdist, and which go first.

Files stay whole, for their tests share servers. Those that take longest go first, so that both processes of a
run end at about the same time.
"""

import gc
from collections.abc import Generator
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

_TOGETHER = {
    f"tests/dispatch/{name}.py": "fleets over brokers"
    for name in ("test_brokers", "test_celery", "test_contract", "test_stopping")
}
"""They share fleets, which take longer to start than to be tested."""
_BROWSER = "tests/console/"
"""Its files share a browser, which takes as long to start as several tests."""
_FIRST = (
    "tests/dispatch/",
    "tests/console/",
    "tests/durability/test_kill",
    "tests/chaos/",
    "tests/fuzz/",
    "tests/isolation/",
    "tests/books/",
    "tests/docs/test_books_tour",
    "tests/docs/test_first_steps",
    "tests/openapi/",
    "tests/durability/",
    "tests/rolling/",
    "tests/cli/",
    "tests/deploy/",
    "tests/store/test_machine",
    "tests/store/",
    "tests/comfyui/test_served",
    "tests/webhooks/",
    "tests/money/",
    "tests/tracing/",
    "tests/http/test_sockets",
    "tests/http/",
)


class Spreading(LoadFileScheduling):  # pyright: ignore[reportUntypedBaseClass]
    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return _BROWSER if file.startswith(_BROWSER) else _TOGETHER.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spreading | None:
    return Spreading(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector from what is imported and collected, which lives to the end.

    Otherwise it looks through all of it again and again, in a tenth of the processor's time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _rank(item: pytest.Item) -> int:
    for rank, start in enumerate(_FIRST):
        if item.nodeid.startswith(start):
            return rank
    return len(_FIRST)
