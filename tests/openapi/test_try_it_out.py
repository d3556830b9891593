"""The documentation page in a browser: the requests it offers are requests that the server accepts."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import debian, npm
from tests.conftest import Server
from tests.media.files import picture

pytestmark = pytest.mark.timeout(600)
"""The page takes two seconds of a processor for each operation; on a busy machine that is minutes."""
SOURCE = Path(__file__).parent / "node"
PACKAGE = "chromium-headless-shell"
OFFERED = (
    "post /api/v1/image-generation/avatar",
    "post /api/v1/jobs",
    "get /api/v1/jobs",
    "get /api/v1/jobs/{job_id}",
    "get /api/v1/recipes",
    "post /api/v1/uploads",
    "get /api/v1/nodes",
    "post /api/v1/workflows",
    "post /api/v1/workflows/sd-text",
    "post /api/v1/webhooks",
    "get /api/v1/credits",
    "post /api/v1/library",
    "get /api/v1/library",
    "get /api/v1/image-generation/characters/{character_id}/images",
)
"""In the order they are tried, which each finds what those before it have made."""


@dataclass(frozen=True)
class Browser:
    program: Path
    environment: dict[str, str]


@pytest.fixture(scope="session")
def browser() -> Browser:
    """The machine's Chromium, else the one of Debian's package."""
    if (found := shutil.which("chromium")) is not None:
        return Browser(Path(found), dict(os.environ))
    root = debian.unpacked(PACKAGE)
    return Browser(root / "usr/lib/chromium" / PACKAGE, debian.environment(root))


@pytest.fixture(scope="module")
def answers(server: Server, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The answer to each of the operations, sent as the page offers it."""
    folder = tmp_path_factory.mktemp("page")
    installed = npm.install(SOURCE, folder / "node")
    file = folder / "lighthouse.png"
    file.write_bytes(picture("PNG"))
    job = server.submit().json()["jobs"][0]["jobId"]
    steps = [_step(each, {"job_id": job}, file) for each in OFFERED]
    arguments = (server.url, str(browser.program), "test", str(folder / "page.png"), json.dumps(steps))
    printed = installed.run("browser.js", *arguments, environment=browser.environment, seconds=560)
    told = json.loads(printed)
    assert told["errors"] == []
    return {answer["operation"]: answer for answer in told["answers"]}


def _step(operation: str, known: dict[str, str], file: Path) -> dict[str, Any]:
    """The operation, with what no document can know: the id of an existing job, and a file of the reader."""
    method, path = operation.split()
    fill = {name: value for name, value in known.items() if f"{{{name}}}" in path}
    return {"method": method, "path": path, "fill": fill} | ({"file": str(file)} if "uploads" in path else {})


@pytest.mark.parametrize("operation", OFFERED)
def test_the_offered_request_is_accepted(answers: dict[str, Any], operation: str) -> None:
    answer = answers[operation]

    assert 200 <= answer["status"] < 300, f"{answer['sent']}\n-> {answer['body']}"
    assert answer["shown"].startswith(str(answer["status"]))


def test_the_offered_job_makes_a_picture(answers: dict[str, Any], server: Server) -> None:
    job = server.wait(json.loads(answers["post /api/v1/jobs"]["body"])["id"])

    assert job["status"] == "succeeded"
    assert server.client.get(job["artifacts"][0]["url"]).headers["content-type"] == "image/png"
