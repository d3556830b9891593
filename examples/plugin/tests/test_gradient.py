import json
import urllib.request

import pytest
from gradient.backend import GradientBackend
from gradient.recipe import RECIPE
from gradient.routes import MODULE

from imagemill.testing.api import ApiModuleContract
from imagemill.testing.backends import BackendContract, BackendSubject
from imagemill.testing.live_server import RunningServer
from imagemill.testing.recipes import RecipeContract


class TestBackend(BackendContract):
    @pytest.fixture
    def subject(self) -> BackendSubject:
        return BackendSubject(GradientBackend(slots=2), slow={"slow_s": 5})


class TestRecipe(RecipeContract):
    @pytest.fixture
    def recipe(self):
        return RECIPE


class TestModule(ApiModuleContract):
    @pytest.fixture
    def module(self):
        return MODULE


def test_a_server_makes_a_gradient(imagemill_server: RunningServer) -> None:
    body = {"recipe": "gradient", "input": {"width": 40, "height": 30, "colour": 255}}
    request = urllib.request.Request(
        f"{imagemill_server.url}/api/v1/jobs",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        job_id = json.load(answer)["id"]
    assert _finished(imagemill_server.url, job_id)["node"].startswith("gradient")


def _finished(url: str, job_id: str) -> dict:
    while True:
        with urllib.request.urlopen(f"{url}/api/v1/jobs/{job_id}") as answer:
            job = json.load(answer)
        if job["status"] not in ("queued", "running"):
            assert job["status"] == "succeeded", job
            return job
