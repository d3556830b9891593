"""``/api/v1/recipes``: each recipe with an input that works as it is."""

from tests.conftest import Server
from tests.http.support import problem


def test_the_example_of_every_recipe_works_as_it_is(server: Server) -> None:
    recipes = server.client.get("/api/v1/recipes").json()["items"]

    assert {recipe["name"] for recipe in recipes} >= {
        "textToImage",
        "comfy",
        "workflow",
        "avatar",
        "fashionModel",
    }
    for recipe in recipes:
        assert recipe["summary"].endswith(".")
        if recipe["example"] is not None:
            body = {"recipe": recipe["name"], "input": recipe["example"]}
            answer = server.client.post("/api/v1/jobs", json=body)
            assert answer.status_code == 201, (recipe["name"], answer.text)
            job = server.wait(answer.json()["id"], 60)
            assert job["status"] == "succeeded", job["error"]


def test_a_recipe_has_the_schema_of_its_input(server: Server) -> None:
    recipe = server.client.get("/api/v1/recipes/textToImage").json()

    assert recipe["input"]["properties"]["prompt"]["type"] == "string"
    assert set(recipe["example"]) <= set(recipe["input"]["properties"])
    assert "did you mean" in problem(server.client.get("/api/v1/recipes/textToImag"), 404)["detail"]


def test_an_unknown_field_of_a_query_is_named(server: Server) -> None:
    told = problem(server.client.get("/api/v1/jobs", params={"limt": "5"}), 400)

    assert told["errors"] == {"limt": ["is not a field of this query; did you mean 'limit'?"]}
