"""Servers for fal's clients: over HTTP for what goes over the wire, over TLS for the published client."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagemill.config import Settings
from tests.conftest import Server, running_server
from tests.fal.support import APPS, HOSTS
from tests.fal.tls import Secured, secured

ALWAYS = 1000
FAULTS: tuple[dict[str, Any], ...] = (
    {"fault": "hang", "prompt": "hangs", "times": ALWAYS},
    {"fault": "content", "prompt": "forbidden fruit", "times": ALWAYS},
    {"fault": "rejected", "prompt": "refused", "times": ALWAYS},
    {"fault": "corrupt", "prompt": "damaged", "times": ALWAYS},
    {"fault": "server_error", "prompt": "second try", "times": 1},
)
"""What a prompt brings about."""


def settings(folder: Path, **changes: Any) -> Settings:
    return Settings(
        _env_file=None,
        **{
            "data_dir": folder,
            "sweep_s": 0.05,
            "job": {"retry_base_s": 0.01, "heartbeat_s": 0.05, "max_failures": 2},
            "allow_networks": ["127.0.0.0/8"],
            "webhook": {"retry_base_s": 0.02},
            "simulator": {"slots": 2, "step_ms": 2, "faults": FAULTS},
            "fal_api": {"apps": APPS, "hosts": HOSTS},
            **changes,
        },
    )


@pytest.fixture(scope="module")
def fal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(settings(tmp_path_factory.mktemp("fal"))) as server:
        yield server


@pytest.fixture(scope="module")
def over_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("fal-tls")
    with secured(settings(folder / "data"), folder) as server:
        yield server
