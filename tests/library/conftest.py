"""A server with a model library."""

from collections.abc import Iterator
from typing import Any

import pytest

from imagemill.config import Settings
from tests.conftest import Server, running_server
from tests.library.support import SMALL


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for the tests of a module."""
    quick: dict[str, Any] = {"retry_base_s": 0.01, "heartbeat_s": 0.05}
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("library"),
        library={"picture": SMALL},
        job=quick,
        sweep_s=0.05,
    )
    with running_server(settings) as server:
        yield server
