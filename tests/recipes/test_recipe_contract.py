"""Our own recipes keep the contract that plug-ins are held to: `imagemill.testing.recipes`."""

from collections.abc import Callable

import pytest

from imagemill.recipes.base import Recipe
from imagemill.testing.recipes import RecipeContract
from tests.conftest import Server

WITH_EXAMPLES = (
    "avatar",
    "blobArchive",
    "comfy",
    "convertImage",
    "cover",
    "echo",
    "editModel",
    "fashionModel",
    "imageBackgroundRemoval",
    "imageUpload",
    "imageUpscaler",
    "mediaHash",
    "prepareResource",
    "preprocessImage",
    "scene",
    "sticker",
    "textToImage",
    "video",
)


class TestOurOwn(RecipeContract):
    @pytest.fixture(params=WITH_EXAMPLES)
    def recipe(self, request: pytest.FixtureRequest, make_server: Callable[..., Server]) -> Recipe:
        return make_server().app.recipes[request.param]


def test_all_recipes_but_those_of_workflows_are_held_to_it(make_server: Callable[..., Server]) -> None:
    recipes = make_server().app.recipes
    assert {name for name, recipe in recipes.items() if recipe.example is not None} == set(WITH_EXAMPLES)
    of_language_models = {"chatCompletion", "mediaCaptioning", "promptEnhancement", "wdTagging"}
    # Jobs of books are submitted by the routes of books alone.
    of_books = {
        "bookAnalysis",
        "bookErasure",
        "bookPage",
        "bookPicture",
        "bookPrint",
        "bookProof",
        "bookReference",
    }
    others = {"vendorImage", "workflow"} | of_language_models | of_books
    assert set(recipes) - set(WITH_EXAMPLES) == others
