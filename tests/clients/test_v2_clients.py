"""The published v2 clients of npm, unmodified, against a real server."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import npm
from tests.conftest import Server
from tests.docs.test_first_steps import blocks, section

SOURCE = Path(__file__).parent / "v2"
CLIENTS = {"@civitai/orchestration-client": "orchestration.mjs", "@civitai/client": "older.mjs"}
VERSIONS = {"@civitai/orchestration-client": "0.2.0-beta.101", "@civitai/client": "0.2.0-beta.86"}
SUPPORTED = (
    "TextToImage", "ImageGen", "Comfy", "CustomComfy", "Echo", "ImageUpload", "ConvertImage", "ImageUpscaler",
    "ImageBackgroundRemoval", "PreprocessImage", "MediaHash", "BlobArchive", "Repeat", "PrepareResource",
    "WdTagging", "MediaCaptioning", "PromptEnhancement", "ChatCompletion",
)  # fmt: skip


@dataclass(frozen=True)
class Client:
    installed: npm.Installed
    program: str

    def run(self, server: Server, what: str) -> Any:
        """What the program prints."""
        return json.loads(self.installed.run(self.program, server.url, what))


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> npm.Installed:
    """The clients as their lock file says, each bundled with the program."""
    installed = npm.install(SOURCE, tmp_path_factory.mktemp("v2") / "clients")
    installed.run("bundle.js")
    return installed


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, bundled: npm.Installed) -> Client:
    return Client(bundled, CLIENTS[request.param])


def images(workflow: dict[str, Any], step: int = 0) -> list[dict[str, Any]]:
    return workflow["steps"][step]["output"]["images"]


def test_the_lock_file_pins_everything_and_names_no_source() -> None:
    lock = json.loads((SOURCE / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}

    assert {name: packages[f"node_modules/{name}"]["version"] for name in VERSIONS} == VERSIONS
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert all("resolved" not in package for package in packages.values())


@pytest.mark.parametrize(
    ("page", "heading"),
    [("README.md", "With the published Civitai clients"), ("docs/civitai-v2.md", "With the SDK")],
)
def test_the_programs_of_the_docs_run_as_they_are(
    bundled: npm.Installed, server: Server, page: str, heading: str
) -> None:
    program = blocks(section(page, heading), "js")[0].replace("http://127.0.0.1:8700", server.url)
    (bundled.folder / "snippet.js").write_text(program, encoding="utf-8")
    # As the page says it is bundled.
    esbuild = ["--bundle", "--platform=node", "--format=esm", "--outfile=snippet.mjs"]
    npm.execute(["node_modules/.bin/esbuild", "snippet.js", *esbuild], bundled.folder)
    url = bundled.run("snippet.mjs").strip()
    answer = server.client.get(url, follow_redirects=True)
    assert answer.headers["content-type"] == "image/png"


def test_it_submits_waits_and_downloads(client: Client, server: Server) -> None:
    told = client.run(server, "picture")

    assert told["ended"]["status"] == "succeeded"
    assert told["ended"]["steps"][0]["metadata"] == {"a": 1}
    assert told["read"] == told["ended"]
    assert told["picture"]["status"] == 200
    assert told["picture"]["type"] == "image/png"
    assert told["picture"]["size"] > 100


def test_it_waits_in_a_second_call(client: Client, server: Server) -> None:
    told = client.run(server, "waits")

    assert told["accepted"]["status"] == 202
    assert told["accepted"]["data"]["status"] in ("unassigned", "preparing", "scheduled", "processing")
    assert told["ended"]["status"] == 200
    assert told["ended"]["data"]["id"] == told["accepted"]["data"]["id"]
    assert told["ended"]["data"]["status"] == "succeeded"


def test_it_asks_for_the_price_and_submits_once(client: Client, server: Server) -> None:
    told = client.run(server, "whatif")

    assert told["priced"]["status"] == "unassigned"
    assert "id" not in told["priced"]
    assert told["priced"]["cost"] == told["submitted"]["cost"]
    assert told["submitted"]["status"] == "succeeded"
    assert told["again"]["id"] == told["submitted"]["id"]


def test_it_changes_finds_and_deletes(client: Client, server: Server) -> None:
    told = client.run(server, "changes")

    assert set(told["statuses"].values()) == {204}
    assert told["changed"]["metadata"] == {"b": 2, "c": 3}
    assert told["changed"]["tags"] == ["civitai", "fav", "x"]
    assert told["step"]["metadata"] == {"d": 4, "e": 5}
    assert told["step"] == told["changed"]["steps"][0]
    assert told["id"] in [item["id"] for item in told["found"]["items"]]
    assert told["untagged"] == ["civitai", "x"]
    assert told["bare"] == []
    assert told["gone"]["status"] == 404


def test_it_cancels_by_update_and_by_patch(client: Client, server: Server) -> None:
    told = client.run(server, "cancel")

    assert told["canceled"]["status"] == told["patched"]["status"] == 204
    assert told["ended"]["status"] == told["second"]["status"] == "canceled"
    # A step that needs a canceled one is canceled with it.
    assert [step["status"] for step in told["ended"]["steps"]] == ["canceled", "canceled"]


def test_it_uploads_reads_and_renews_blobs(client: Client, server: Server) -> None:
    told = client.run(server, "blobs")

    assert told["signed"]["status"] == told["direct"]["status"] == 201
    assert told["direct"]["data"]["id"] == told["signed"]["blob"]["id"]
    assert len(told["blobs"]) == 2
    for blob in told["blobs"]:
        assert (blob["head"], blob["content"]) == (204, 200)
        assert blob["disposition"] == 'attachment; filename="a.png"'
        assert blob["refreshed"]["id"] == blob["blobId"]
        assert blob["plain"] == {"status": 200, "type": "image/png", "size": blob["size"]}
    assert told["missing"] == 404
    assert told["used"]["status"] == "succeeded"


def test_it_runs_recipes(client: Client, server: Server) -> None:
    told = client.run(server, "recipes")
    prices = told["headers"]

    assert int(prices["x-civitai-cost-total"]) >= 1
    assert prices["x-civitai-cost-by-currency"].endswith(f"={prices['x-civitai-cost-total']}")
    assert prices["x-civitai-insufficient-buzz"] == "false"
    assert set(told["output"]) == {"images"}
    assert told["output"]["images"][0]["available"]
    assert told["comfy"]["blobs"][0]["available"]
    assert told["generated"]["images"][0]["available"]
    assert told["none"]["status"] == 400
    assert "step type not supported" in told["none"]["error"]["detail"]


def test_it_runs_recipes_that_need_no_gpu(client: Client, server: Server) -> None:
    told = client.run(server, "tasks")

    assert told["echo"] == {"message": "hello"}
    assert told["uploaded"]["blob"]["available"]
    assert told["converted"]["blob"]["id"].endswith(".webp")


def test_it_downloads_an_archive(client: Client, server: Server) -> None:
    told = client.run(server, "archive")

    assert (told["archive"]["entryCount"], told["archive"]["format"]) == (2, "zip")
    assert (told["type"], told["start"]) == ("application/zip", "504b0304")
    assert told["plain"]["status"] == 200


def test_every_recipe_it_knows_is_answered_in_words(client: Client, server: Server) -> None:
    told = client.run(server, "everyRecipe")

    assert len(told) >= 48
    assert {name: each for name, each in told.items() if each["status"] != 400 or not each["detail"]} == {}
    unknown = {name for name, each in told.items() if "step type not supported" in each["detail"]}
    assert not unknown & {f"invoke{name}StepTemplate" for name in SUPPORTED}


def test_it_reads_resources(client: Client, server: Server) -> None:
    told = client.run(server, "resources")

    assert told["known"]["air"] == "urn:air:sd1:checkpoint:civitai:4384@128713"
    assert told["known"]["availability"]["status"] == "available"
    assert told["unknown"]["status"] == 404
    if told["queue"] is not None:
        assert told["queue"] == {"next": None, "items": []}


def test_it_is_told_what_was_wrong(client: Client, server: Server) -> None:
    told = client.run(server, "refused")

    assert told["status"] == 400
    assert "at least 64" in told["error"]["errors"]["steps[0].input.width"][0]
    assert "steps[0].input.width" in told["sentence"]


def test_a_failure_is_explained_and_cancels_what_needs_it(client: Client, server: Server) -> None:
    workflow = client.run(server, "failed")

    assert workflow["status"] == "failed"
    first, second = workflow["steps"]
    assert (first["status"], second["status"]) == ("failed", "canceled")
    assert first["output"]["errors"][0]
    assert first["jobs"][0]["reason"]


# The three kinds of workflow that civitai.com sends itself


def test_a_preprocessed_picture_guides_the_next_step(client: Client, server: Server) -> None:
    workflow = client.run(server, "preprocessed")

    assert workflow["status"] == "succeeded"
    map_ = workflow["steps"][0]["output"]["blob"]
    assert workflow["steps"][1]["input"]["controlNets"][0]["image"] == map_["url"]
    assert images(workflow, 1)[0]["available"]


def test_a_picture_is_upscaled_by_the_reference_of_every_image_step(client: Client, server: Server) -> None:
    workflow = client.run(server, "upscaled")

    assert workflow["status"] == "succeeded"
    assert workflow["steps"][1]["input"]["image"] == images(workflow)[0]["url"]
    blob = workflow["steps"][1]["output"]["blob"]
    assert blob["width"] > images(workflow)[0]["width"]


def test_a_graph_with_airs_runs(client: Client, server: Server) -> None:
    workflow = client.run(server, "graph")

    assert workflow["status"] == "succeeded"
    blobs = workflow["steps"][0]["output"]["blobs"]
    assert [blob["available"] for blob in blobs] == [True, True]
