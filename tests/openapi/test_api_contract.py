"""Our own API modules keep the contract that plug-ins are held to: `imagemill.testing.api`."""

import pytest
from fastapi import APIRouter

from imagemill.api.base import ApiModule
from imagemill.testing.api import ApiModuleContract
from tests.conftest import Server

NAMES = (
    "accounts",
    "artifacts",
    "books",
    "checklist",
    "credits",
    "doctor",
    "feed",
    "forecast",
    "job_graph",
    "job_relations",
    "library",
    "limits",
    "models",
    "native",
    "nodes",
    "operations",
    "pauses",
    "recipes",
    "registry",
    "residency",
    "resources",
    "sessions",
    "settings",
    "stats",
    "uploads",
    "webhooks",
    "workers",
    "workflows",
)


class TestOurOwn(ApiModuleContract):
    @pytest.fixture(params=NAMES)
    def module(self, request: pytest.FixtureRequest, server: Server) -> ApiModule:
        (module,) = [each for each in server.app.dialects if each.name == request.param]
        return module


def test_all_modules_of_our_own_api_are_held_to_it(server: Server) -> None:
    modules = server.app.dialects
    at_module_level = {each.name for each in modules if isinstance(each.router, APIRouter)}
    assert {each.name for each in modules if each.document is None} & at_module_level == set(NAMES)
