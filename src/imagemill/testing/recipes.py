"""The contract of every recipe, as tests that a plug-in's own tests inherit.

Subclass `RecipeContract` in a test module and override the fixtures ``recipe`` and ``input``.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from imagemill.domain.air import EXAMPLE, Resource, parse
from imagemill.domain.images import WorkerSpec
from imagemill.recipes.base import Plan, Recipe


class AnyResource:
    """A `imagemill.recipes.base.ResourceResolver` that knows every model and accepts every picture."""

    def resource(self, path: str, air: str, *, kind: str | None = None) -> Resource:
        del path, kind
        return Resource(parse(air))

    def default_checkpoint(self, path: str, family: str | None = None) -> Resource:
        del path, family
        return Resource(parse(EXAMPLE))

    def picture(self, path: str, text: str) -> str:
        del path
        return text


class RecipeContract:
    """The promises that every recipe keeps."""

    @pytest.fixture
    def recipe(self) -> Any:
        """Override this: return the `Recipe`."""
        pytest.fail("a subclass overrides this fixture with the recipe that it tests")

    @pytest.fixture
    def input(self, recipe: Recipe) -> Mapping[str, Any]:
        """An input as a client sends it; the recipe's example, unless a subclass overrides this."""
        if recipe.example is None:
            pytest.fail("the recipe has no example: override the fixture `input`")
        return recipe.example

    @pytest.fixture
    def complete(self, recipe: Recipe, input: Mapping[str, Any]) -> BaseModel:
        """The input as it is stored with a job."""
        return recipe.complete(recipe.input.model_validate(dict(input)), AnyResource(), "")

    def test_its_input_has_a_schema_that_describes_every_field(self, recipe: Recipe) -> None:
        schema = recipe.input.model_json_schema()
        json.dumps(schema, allow_nan=False)
        assert schema["type"] == "object"
        assert schema["properties"]

    def test_an_unknown_field_is_refused(self, recipe: Recipe, input: Mapping[str, Any]) -> None:
        with pytest.raises(ValidationError):
            recipe.input.model_validate({**input, "noSuchField": 1})

    def test_a_complete_input_survives_its_storage_as_json(self, recipe: Recipe, complete: BaseModel) -> None:
        stored = json.loads(complete.model_dump_json())
        assert recipe.input.model_validate(stored) == complete

    def test_one_input_always_has_the_same_plan(self, recipe: Recipe, complete: BaseModel) -> None:
        """A request and each attempt make a plan of their own."""
        stored = recipe.input.model_validate(json.loads(complete.model_dump_json()))
        assert _told(recipe.plan(complete)) == _told(recipe.plan(stored)) == _told(recipe.plan(complete))

    def test_a_plan_does_not_change_its_input(self, recipe: Recipe, complete: BaseModel) -> None:
        before = deepcopy(complete)
        recipe.plan(complete)
        assert complete == before

    def test_a_plan_makes_pictures(self, recipe: Recipe, complete: BaseModel) -> None:
        """A task and page work may deliver values only."""
        plan = recipe.plan(complete)
        assert plan.outputs >= (0 if isinstance(plan.work, WorkerSpec) or plan.discards else 1)
        if plan.size is not None:
            assert min(plan.size) >= 1
        if plan.keys:
            assert plan.outputs == 1

    def test_its_model_is_an_air_in_lower_case(self, recipe: Recipe, complete: BaseModel) -> None:
        model = recipe.model(complete)
        assert model == model.lower()
        if model:
            parse(model)

    def test_its_texts_can_be_checked(self, recipe: Recipe, complete: BaseModel) -> None:
        if recipe.get_texts is None:
            return  # all texts of the input are checked
        texts = recipe.get_texts(complete)
        if recipe.replace_texts is not None:
            assert recipe.get_texts(recipe.replace_texts(complete, texts)) == texts


def _told(plan: Plan) -> tuple[Any, ...]:
    return (
        plan.work,
        plan.outputs,
        plan.size,
        plan.parameters,
        dict(plan.inputs),
        dict(plan.data),
        dict(plan.keys),
        plan.file_keys,
        plan.leaves_nothing,
        plan.record,
    )
