"""The contract of every module of the HTTP API, as tests that a plug-in's own tests inherit.

Subclass `ApiModuleContract` in a test module and override the fixture ``module``.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from imagemill.api.base import ApiModule
from imagemill.web.policies import PathPolicies


class ApiModuleContract:
    """The promises that every module keeps whose router stands at module level."""

    @pytest.fixture
    def module(self) -> Any:
        """Override this: return the `ApiModule`."""
        pytest.fail("a subclass overrides this fixture with the module that it tests")

    def test_every_route_has_a_policy(self, module: ApiModule) -> None:
        """A path without one is for administrators only, which a module states on purpose."""
        declared = PathPolicies(module.policies)
        assert [route.path for route in _routes(module) if not declared.declares(route.path)] == []

    def test_every_route_is_documented(self, module: ApiModule) -> None:
        for route in _routes(module):
            assert route.summary, f"{route.path} has no summary"
            tags = {str(tag) for tag in route.tags}
            assert tags, f"{route.path} has no tag"
            assert tags <= set(module.tags), f"a tag of {route.path} is not described in ApiModule.tags"

    def test_every_parameter_is_described(self, module: ApiModule) -> None:
        for route in _routes(module):
            for parameter in (*route.dependant.path_params, *route.dependant.query_params):
                for name, info in _fields(parameter.alias, parameter.field_info):
                    assert info.description, f"the parameter {name} of {route.path} has no description"

    def test_every_json_answer_has_a_model(self, module: ApiModule) -> None:
        for route in _routes(module):
            is_json = getattr(route.response_class, "media_type", None) == "application/json"
            has_body = route.status_code not in (204, 304)
            if is_json and has_body:
                assert route.response_model is not None, f"{route.path} has no response model"


def _fields(name: str, info: FieldInfo) -> Iterator[tuple[str, FieldInfo]]:
    """Return a parameter, or the fields of one that is a model of the whole query."""
    model = info.annotation
    if isinstance(model, type) and issubclass(model, BaseModel):
        yield from model.model_fields.items()
    else:
        yield name, info


def _routes(module: ApiModule) -> Iterator[APIRoute]:
    assert isinstance(module.router, APIRouter), "the router is built at run time: test its server instead"
    yield from (route for route in module.router.routes if isinstance(route, APIRoute))
