"""The pytest plug-in: the fixtures ``imagemill_settings`` and ``imagemill_server``.

pytest loads it by itself where Imagemill is installed; it imports nothing heavy.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from imagemill.testing.live_server import RunningServer


@pytest.fixture(scope="session")
def imagemill_settings() -> Mapping[str, str]:
    """Settings of `imagemill_server` as environment variables. Override it in conftest.py."""
    return {}


@pytest.fixture(scope="session")
def imagemill_server(
    tmp_path_factory: pytest.TempPathFactory, imagemill_settings: Mapping[str, str]
) -> "Iterator[RunningServer]":
    """A server with the simulator and the profile ``ci``, for the whole test session."""
    from imagemill.testing.live_server import running_server

    with running_server(tmp_path_factory.mktemp("imagemill"), settings=imagemill_settings) as server:
        yield server
