"""``/api/v1/recipes``: what a job can make, with the schema and the price of its input."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import ConfigDict, Field

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.credits import Price
from imagemill.api.dependencies import ServicesDep
from imagemill.domain.access import Scope
from imagemill.domain.errors import NotFound
from imagemill.recipes.base import Recipe
from imagemill.web.body_fields import suggestion
from imagemill.web.http import json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import ApiRoute, ResponseModel


class RecipeInfo(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "textToImage",
                    "summary": "Pictures from a prompt by a checkpoint.",
                    "price": {
                        "base": 0.0,
                        "megapixel": 0.0,
                        "step": 0.0,
                        "megapixelStep": 0.1220703125,
                        "minimum": 0.0,
                    },
                    "input": {"type": "object", "properties": {"prompt": {"type": "string"}}},
                    "example": {
                        "model": "urn:air:sd1:checkpoint:civitai:4384@128713",
                        "prompt": "a lighthouse at dusk",
                    },
                }
            ]
        }
    )

    name: str = Field(description="The `recipe` of a job.")
    summary: str = Field(description="A sentence about what it makes.")
    price: Price = Field(description="Credits of a picture.")
    input: dict[str, Any] = Field(description="JSON schema of the `input` of a job.")
    example: dict[str, Any] | None = Field(
        description="An input that works as it is; null where jobs are made by another route."
    )


class RecipeList(ResponseModel):
    items: list[RecipeInfo]


router = APIRouter(prefix="/api/v1/recipes", tags=["recipes"], route_class=ApiRoute)


@router.get("", summary="List the recipes", response_model=RecipeList)
async def list_recipes(services: ServicesDep) -> Response:
    return json_response({"items": [_body(services, recipe) for recipe in services.recipes.values()]})


@router.get("/{name}", summary="Read a recipe", response_model=RecipeInfo)
async def get_recipe(
    services: ServicesDep,
    name: Annotated[str, Path(description="`name` of the recipe.", examples=["textToImage"])],
) -> Response:
    recipe = services.recipes.get(name)
    if recipe is None:
        raise NotFound(f"there is no recipe {name[:64]!r}{suggestion(name, services.recipes)}")
    return json_response(_body(services, recipe))


def _body(services: Services, recipe: Recipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "price": services.credits.prices.table()["recipes"][recipe.name],
        "input": recipe.input.model_json_schema(),
        "example": recipe.example,
    }


DIALECT = ApiModule(
    name="recipes",
    router=router,
    callback=no_callback,
    policies=(
        PathPolicy("/api/v1/recipes", Scope.JOBS_READ),
        PathPolicy("/api/v1/recipes/", Scope.JOBS_READ),
    ),
    tags={"recipes": "What a job can make, with the schema, the price and an example of its input."},
)
