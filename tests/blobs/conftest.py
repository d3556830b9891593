"""One SeaweedFS for all tests of a process; each test has a prefix of its own."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.seaweed import Seaweed, running


@pytest.fixture(scope="session")
def seaweed() -> Iterator[Seaweed]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, running(Path(folder)) as server:
        yield server
