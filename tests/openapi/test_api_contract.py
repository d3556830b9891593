"""Our own API modules keep the contract that plug-ins are held to: `imagemill.testing.api`."""

from collections.abc import Callable

import pytest
from fastapi import APIRouter

from imagemill.api.base import ApiModule
from imagemill.testing.api import ApiModuleContract
from tests.conftest import Server

NAMES = (
    "accounts",
    "books",
    "credits",
    "doctor",
    "feed",
    "forecast",
    "job_graph",
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
    def module(self, request: pytest.FixtureRequest, make_server: Callable[..., Server]) -> ApiModule:
        (module,) = [each for each in make_server().app.dialects if each.name == request.param]
        return module


def test_all_modules_of_our_own_api_are_held_to_it(make_server: Callable[..., Server]) -> None:
    modules = make_server().app.dialects
    at_module_level = {each.name for each in modules if isinstance(each.router, APIRouter)}
    assert {each.name for each in modules if each.document is None} & at_module_level == set(NAMES)
