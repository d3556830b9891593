"""Fixtures for the step types of Civitai v2, which need no route: the services of a server."""

from collections.abc import Iterator

import pytest

from imagemill.api.base import Services
from imagemill.bootstrap.application import Application, Roles
from imagemill.config import Settings
from imagemill.domain.air import Resource, parse
from tests.civitai_v2.support import KONTEXT


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The services of a process with the simulator, which accepts jobs and runs none."""
    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("services"))
    app = Application(settings, Roles(scheduler=False, worker=False))
    app.start()
    app.services.registry.register(Resource(parse(KONTEXT)))
    yield app.services
    app.close()
