"""The README's first steps and the pages of commands and models, run as they are written."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagemill.config import Settings
from tests.cli.programs import environment, search_path
from tests.comfyui.node import TestNode
from tests.conftest import Server, running_server
from tests.docs.test_docs import FENCE, ROOT
from tests.http.support import until
from tests.media.files import picture as png

DREAM = "dreamshaper_8.safetensors"
MODELS = {
    "checkpoints": [DREAM, "mymix.safetensors"],
    "loras": ["more_details.safetensors"],
    "controlnet": [],
    "vae": [],
}


def section(page: str, heading: str) -> str:
    text = (ROOT / page).read_text(encoding="utf-8")
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str = "sh") -> list[str]:
    return [body for found, body in FENCE.findall(text) if found == language]


@pytest.fixture(scope="module")
def node() -> Iterator[TestNode]:
    with TestNode(models=MODELS) as node:
        yield node


@pytest.fixture(scope="module")
def server(node: TestNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("steps"))) as server:
        yield server


def run(server: Server, folder: Path, script: str, **replaced: str) -> str:
    for old, new in replaced.items():
        script = script.replace(old, new)
    port = server.url.rpartition(":")[2]
    script = script.replace("127.0.0.1:8700", f"127.0.0.1:{port}")
    ours = environment(IMAGEMILL_URL=server.url, PATH=search_path())
    command = ["bash", "-c", f"set -eu -o pipefail\n{script}"]
    done = subprocess.run(command, cwd=folder, env=ours, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(240)
def test_the_first_pictures_of_the_readme(server: Server, tmp_path: Path):
    (script,) = blocks(section("README.md", "A first picture"))
    told = run(server, tmp_path, script)
    assert (tmp_path / "demo-output" / "imagemill-demo.png").exists()
    (picture,) = (tmp_path / "pictures").iterdir()
    assert str(picture) in told


def test_the_requests_of_the_readme_are_accepted(server: Server, tmp_path: Path):
    for script in blocks(section("README.md", "The API")):
        answer = run(server, tmp_path, script)
        assert '"id"' in answer, answer


@pytest.mark.timeout(240)
def test_the_requests_of_the_page_of_civitai_v2_are_accepted(server: Server, tmp_path: Path):
    (tmp_path / "picture.png").write_bytes(png())
    answers = [run(server, tmp_path, script) for script in blocks(page("docs/civitai-v2.md"))]
    one, two, recipe, uploads = answers
    assert [step["status"] for step in json.loads(one)["steps"]] == ["succeeded"]
    assert [step["status"] for step in json.loads(two)["steps"]] == ["succeeded", "succeeded"]
    output, _, price = recipe.partition("}]}")
    assert output.startswith('{"images":')
    assert price.lower().splitlines()[0].startswith("x-civitai-cost-total: ")
    assert '"uploadUrl"' in uploads
    assert '"available":true' in uploads


def test_the_workflow_with_a_fault_succeeds_after_retries(server: Server):
    (body,) = blocks(page("docs/civitai-v2.md"), "json")
    answer = server.client.post("/v2/consumer/workflows", json=json.loads(body), params={"wait": "30"})
    assert answer.json()["status"] == "succeeded"


def test_the_python_client_of_the_readme_runs_as_it_is(server: Server, tmp_path: Path):
    (program,) = blocks(section("README.md", "With the published Civitai clients"), "python")
    (tmp_path / "snippet.py").write_text(
        program.replace("http://127.0.0.1:8700", server.url), encoding="utf-8"
    )
    assert run(server, tmp_path, "python -W ignore snippet.py").startswith(f"{server.url}/blobs/")


def test_the_faults_of_the_readme_strike_the_request_and_the_attempt(server: Server, tmp_path: Path):
    text = section("README.md", "Faults on demand")
    (script,) = blocks(text)
    answers = [run(server, tmp_path, script, **{"localhost:8700": "127.0.0.1:8700"}) for _ in range(3)]
    assert [answer.split()[1] for answer in answers] == ["429", "429", "200"]
    assert [
        re.search(r"^retry-after: 1\r?$", answer, re.MULTILINE | re.IGNORECASE) is not None
        for answer in answers
    ] == [True, True, False]
    (body,) = blocks(text, "json")
    (tmp_path / "job.json").write_text(body, encoding="utf-8")
    told = run(server, tmp_path, "imagemill jobs submit job.json --wait --json")
    (job,) = json.loads(told)["items"]
    assert (job["status"], job["attempt"]) == ("succeeded", 3)


@pytest.mark.timeout(240)
def test_the_steps_on_ones_own_gpu_and_the_page_of_models(server: Server, node: TestNode, tmp_path: Path):
    serve, steps, _ = blocks(section("README.md", "On your own GPU"))
    assert serve == "imagemill serve\n"
    add, _, rest = steps.partition("\n")
    run(server, tmp_path, add.replace("http://127.0.0.1:8188", node.url))
    until(lambda: DREAM in run(server, tmp_path, "imagemill models list"))
    run(server, tmp_path, rest)
    assert len(list((tmp_path / "pictures").iterdir())) == 1
    models = [{"air": "urn:air:sdxl:checkpoint:civitai:1@2", "modelName": "of the file"}]
    (tmp_path / "models.json").write_text(json.dumps(models), encoding="utf-8")
    for script in blocks(page("docs/models.md")):
        run(server, tmp_path, script)
    assert server.client.get("/v2/resources/urn:air:sdxl:checkpoint:civitai:1@2").status_code == 200
    assert "(default)" in run(server, tmp_path, f"imagemill models list {DREAM}")


@pytest.mark.timeout(240)
def test_the_page_of_commands(server: Server, tmp_path: Path):
    page = "docs/commands.md"
    for heading in ("A picture", "Jobs"):
        for script in blocks(section(page, heading)):
            run(server, tmp_path, script, **{"examples/": f"{ROOT}/examples/"})
    assert len(list((tmp_path / "pictures").iterdir())) >= 4
