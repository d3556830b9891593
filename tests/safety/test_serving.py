"""Prompts and pictures that are judged, as clients and operators see it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from imagemill.bootstrap.application import Application
from imagemill.bootstrap.safety import InvalidSafety, SafetyComponents
from imagemill.domain.jobs import Job
from imagemill.domain.moderation import ALLOWED, ModerationInput, ModerationResult, PromptTexts, Verdict
from imagemill.jobs.outputs import OutputChecks
from imagemill.safety.chain import CheckChain
from imagemill.safety.decisions import Decision
from imagemill.safety.gates import Picture, PictureGate, PromptGate
from imagemill.settings import SafetySettings
from tests.conftest import SD1, Server, image_job

SECRET = "quixotical"
"""A word that stands in prompts only."""


@dataclass
class Tame:
    """Rewrites wild to calm."""

    name: str = "tame"

    def judge(self, question: ModerationInput) -> ModerationResult:
        wording = question.texts
        if "wild" not in wording.prompt:
            return ALLOWED
        return ModerationResult(Verdict.REWRITE, "style", PromptTexts(wording.prompt.replace("wild", "calm")))


@dataclass
class Fixed:
    """Says the same of every picture."""

    ruling: ModerationResult
    name: str = "fixed"

    def judge(self, picture: Picture, job: Job) -> ModerationResult:
        assert len(picture.raster(4, 2)) == 24
        return self.ruling


def classified(ruling: ModerationResult) -> Callable[[Application], None]:
    def prepare(app: Application) -> None:
        gate = PictureGate([Fixed(ruling)], app.stores.decisions, app.safety.intake.raster)
        seen = OutputChecks(app.safety.intake.inspect, gate.judge)
        app.runner.steps.options = _with(app.runner.steps.options, seen)  # pyright: ignore[reportPrivateUsage]

    return prepare


def _with(rules: Any, seen: OutputChecks) -> Any:
    from dataclasses import replace

    return replace(rules, output_checks=seen)


def decisions(server: Server) -> list[Decision]:
    server.app.stores.database.ping()
    server.app.stores.jobs.ensure_owner("local", 0)  # a write, after which what waited is written
    return server.app.stores.decisions.page()


def test_a_blocked_prompt_is_a_typed_problem_and_leaves_nothing(make_server: Any):
    server = make_server()
    answer = server.submit({"jobs": [image_job(), image_job(params={"prompt": f"nude child {SECRET}"})]})
    body = answer.json()
    assert answer.status_code == 400
    assert body["type"] == "urn:imagemill:problem:content_blocked"
    assert list(body["errors"]) == ["jobs[1].params.prompt"]
    assert SECRET not in answer.text
    assert server.client.get("/api/v1/jobs").json()["items"] == []
    (decision,) = decisions(server)
    assert (decision.owner, decision.job_id) == ("local", None)
    assert (decision.record.rule, decision.record.verdict) == ("minors", Verdict.BLOCK)
    assert len(decision.record.digest) == 64


def test_no_picture_is_stored_for_a_request_that_is_blocked(make_server: Any):
    server = make_server()
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
    control = {"preprocessor": "Canny", "weight": 1, "startStep": 0, "endStep": 1}
    control["imageUrl"] = f"data:image/png;base64,{pixel}"
    first = image_job(controlNets=[control])
    accepted = server.submit(first)
    assert accepted.status_code == 200, accepted.text
    for kept in server.app.blobs.list("inputs/"):
        server.app.blobs.delete([kept.key])
    bad = image_job(params={"prompt": "nude child"})
    assert server.submit({"jobs": [first, bad]}).status_code == 400
    assert list(server.app.blobs.list("inputs/")) == []


@pytest.mark.parametrize("whatif", ["true", "false"])
def test_native_and_price_enquiries_are_judged_too(make_server: Any, whatif: str):
    server = make_server()
    bad = {"model": SD1, "prompt": "nude child", "width": 64, "height": 64}
    native = server.client.post("/api/v1/jobs", json={"recipe": "textToImage", "input": bad})
    assert (native.status_code, list(native.json()["errors"])) == (400, ["input.prompt"])
    assert server.submit(image_job(params={"prompt": "nude child"}), whatif=whatif).status_code == 400


def test_a_graph_is_judged_by_its_texts(make_server: Any):
    graph = {"1": {"class_type": "CLIPTextEncode", "inputs": {"text": "nude child"}}}
    answer = make_server().submit({"$type": "comfy", "params": {"workflow": graph}})
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["params.workflow"]


def test_a_flag_is_shown_on_the_job(make_server: Any):
    server = make_server(safety={"checks": ("profanity",)})
    job_id = server.submit(image_job(params={"prompt": "a fucking lighthouse"})).json()["jobId"]
    assert server.wait(job_id)["safety"] == {"rewritten": False, "flags": ["profanity"]}
    assert [each.job_id for each in decisions(server)] == [job_id]


def test_an_ordinary_job_has_no_mark(make_server: Any):
    server = make_server()
    assert "safety" not in server.wait(server.submit().json()["jobId"])
    assert decisions(server) == []


def test_a_rewritten_prompt_is_what_is_stored_and_is_marked(make_server: Any):
    def prepare(app: Application) -> None:
        gate = PromptGate(CheckChain([Tame()]), app.stores.decisions)
        app.services.submitter._gate = gate  # pyright: ignore[reportPrivateUsage]

    server = make_server(prepare=prepare)
    job = server.wait(server.submit(image_job(params={"prompt": "a wild sea"})).json()["jobId"])
    assert job["input"]["prompt"] == "a calm sea"
    assert job["safety"] == {"rewritten": True, "flags": []}


def test_a_replay_is_judged_by_the_rules_of_today(make_server: Any):
    server = make_server()
    job_id = server.submit(image_job(params={"prompt": "a zeppelin"})).json()["jobId"]
    server.wait(job_id)
    assert server.client.post(f"/api/v1/jobs/{job_id}/replay").status_code == 201
    settings = server.app.settings.model_copy(update={"safety": SafetySettings(blocked_words=("zeppelin",))})
    guards = SafetyComponents(settings, server.app.stores.decisions, {})
    server.app.services.submitter._gate = guards.prompts  # pyright: ignore[reportPrivateUsage]
    answer = server.client.post(f"/api/v1/jobs/{job_id}/replay")
    assert answer.json()["type"].endswith("content_blocked")


def test_a_blocked_picture_fails_the_job_once_and_is_not_kept(make_server: Any):
    server = make_server(prepare=classified(ModerationResult(Verdict.BLOCK, "nsfw")))
    job = server.wait(server.submit().json()["jobId"])
    assert (job["status"], job["error"]["code"], job["attempt"]) == ("failed", "content_blocked", 1)
    assert list(server.app.blobs.list("jobs/")) == []
    assert [each.record.rule for each in decisions(server)] == ["fixed"]


def test_a_flagged_picture_is_kept_and_marked(make_server: Any):
    server = make_server(prepare=classified(ModerationResult(Verdict.FLAG, "nsfw")))
    job = server.wait(server.submit().json()["jobId"])
    assert (job["status"], job["safety"]["flags"]) == ("succeeded", ["nsfw"])


def test_no_prompt_is_logged(make_server: Any, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG, "imagemill"):
        server = make_server()
        server.wait(
            server.submit(image_job(params={"prompt": SECRET, "negativePrompt": SECRET})).json()["jobId"]
        )
        server.submit(image_job(params={"prompt": f"nude child {SECRET}"}))
        server.submit(image_job(params={"prompt": SECRET, "steps": "many"}))
        server.client.post("/api/v1/jobs", json={"recipe": "textToImage", "input": {"prompt": SECRET}})
    assert "step 5/5" in caplog.text
    assert SECRET not in caplog.text
    assert not any(SECRET in str(vars(record)) for record in caplog.records)


@pytest.mark.parametrize(
    ("safety", "message"),
    [
        (
            {"checks": ("mine",)},
            "IMAGEMILL_SAFETY__CHECKS names 'mine'; there are characters, profanity, words",
        ),
        ({"classifiers": ("mine",)}, "IMAGEMILL_SAFETY__CLASSIFIERS names 'mine'; there are nsfw"),
        ({"languages": ("klingon",)}, "no profanity list for 'klingon'"),
        ({"nsfw_model": "/nowhere.onnx"}, "is not a file"),
    ],
)
def test_a_name_that_is_not_there_is_told_at_start(make_server: Any, safety: dict[str, Any], message: str):
    with pytest.raises(InvalidSafety, match=message):
        make_server(safety=safety)


def test_decisions_are_deleted_with_time(make_server: Any):
    server = make_server()
    server.submit(image_job(params={"prompt": "nude child"}))
    assert len(decisions(server)) == 1
    store = server.app.stores
    assert store.decisions.prune(decisions(server)[0].at) == 0
    assert store.decisions.prune(decisions(server)[0].at + 1) == 1
