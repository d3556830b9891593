"""Tasks as steps over HTTP: alone as recipes, and with references between them and pictures."""

import io
import zipfile
from typing import Any

import httpx2
from PIL import Image

from tests.civitai_v2.http_support import errors, picture, ref, run
from tests.civitai_v2.support import PIXEL
from tests.conftest import Server


def invoke(server: Server, name: str, input_: Any, **query: str) -> httpx2.Response:
    return server.client.post(f"/v2/consumer/recipes/{name}", json=input_, params=query)


def opened(server: Server, blob: dict[str, Any]) -> Image.Image:
    answer = server.client.get(blob["url"], headers={"Authorization": ""}, follow_redirects=True)
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def test_an_echo_answers_with_its_bare_output(server: Server) -> None:
    answer = invoke(server, "echo", {"message": "hello"})
    assert (answer.status_code, answer.json()) == (200, {"message": "hello"})


def test_an_uploaded_picture_is_a_blob(server: Server) -> None:
    blob = invoke(server, "imageUpload", PIXEL).json()["blob"]
    assert (blob["width"], blob["height"], blob["available"]) == (64, 64, True)
    assert opened(server, blob).size == (64, 64)


def test_a_conversion_costs_one_and_shows_its_price(server: Server) -> None:
    input_ = {"image": PIXEL, "output": {"format": "jpeg"}}
    answer = invoke(server, "convertImage", input_, whatif="true")
    assert answer.headers["X-Civitai-Cost-Total"] == "1"
    assert opened(server, invoke(server, "convertImage", input_).json()["blob"]).format == "JPEG"


def test_hashes_are_values_of_a_step_without_files(server: Server) -> None:
    ended = run(
        server,
        {"$type": "mediaHash", "input": {"mediaUrl": PIXEL, "hashTypes": ["perceptual", "perceptualDct"]}},
    )
    (step,) = ended["steps"]
    assert step["status"] == "succeeded"
    assert set(step["output"]["hashes"]) == {"perceptual", "perceptualDct"}


def test_a_picture_is_made_enlarged_and_archived_by_references(server: Server) -> None:
    """The chain of a site: a picture, its conversion, and both as one file."""
    ended = run(
        server,
        picture(),
        {
            "$type": "convertImage",
            "input": {
                "image": ref("$0", "output.images[0].url"),
                "transforms": [{"type": "resize", "targetWidth": 32}],
                "output": {"format": "webp"},
            },
        },
        {
            "$type": "blobArchive",
            "input": {
                "entries": [
                    {"blobId": ref("$0", "output.images[0].id"), "fileName": "first.png"},
                    {"blobId": ref("$1", "output.blob.id"), "fileName": "second.webp"},
                ],
                "archiveName": "both.zip",
            },
        },
    )
    assert ended["status"] == "succeeded", ended
    _, converted, archived = (step["output"] for step in ended["steps"])
    assert opened(server, converted["blob"]).size == (32, 32)
    assert (archived["entryCount"], archived["format"]) == (2, "zip")
    answer = server.client.get(archived["url"], headers={"Authorization": ""}, follow_redirects=True)
    assert "both.zip" in answer.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["first.png", "second.webp"]


def test_a_control_picture_guides_the_next_step(server: Server) -> None:
    control = {"preprocessor": "canny", "weight": 1, "startStep": 0, "endStep": 4}
    ended = run(
        server,
        {"$type": "preprocessImage", "input": {"kind": "canny", "image": PIXEL, "resolution": 64}},
        picture(controlNets=[{**control, "image": ref("$0", "output.blob.url")}]),
    )
    assert ended["status"] == "succeeded", ended
    assert ended["steps"][1]["input"]["controlNets"][0]["image"] == ended["steps"][0]["output"]["blob"]["url"]


def test_a_resource_is_prepared(server: Server) -> None:
    resource = "urn:air:sd1:checkpoint:civitai:4384@128713"
    output = invoke(server, "prepareResource", {"resource": resource}).json()
    assert output["resource"] == resource
    assert output["preparedAt"].endswith("Z")
    assert output["provider"].startswith("sim-")


def test_a_model_that_is_not_configured_is_named_at_the_field(server: Server) -> None:
    answer = invoke(server, "promptEnhancement", {"ecosystem": "sdxl", "prompt": "a fox"})
    assert "IMAGEMILL_LANGUAGE_MODEL__BASE_URL" in str(errors(answer))
    answer = invoke(server, "wdTagging", {"mediaUrl": PIXEL})
    assert "IMAGEMILL_LANGUAGE_MODEL__VISION_MODEL" in str(errors(answer))
