"""The published Python client, fal-client, unmodified, over TLS against a real server."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.fal.tls import Secured, proxy_to

PROGRAM = Path(__file__).with_name("program.py")


def run(server: Secured, what: str, **environment: str) -> Any:
    """What the program printed. Without hosts of its own it is led to the paths."""
    here = f"localhost:{server.port}"
    given = environment or {"FAL_QUEUE_RUN_HOST": f"{here}/fal", "FAL_RUN_HOST": f"{here}/fal-run"}
    clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), what],
        capture_output=True,
        text=True,
        timeout=200,
        env={**clean, "FAL_KEY": "any-key", "SSL_CERT_FILE": str(server.authority), **given},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def sync(over_tls: Secured) -> dict[str, Any]:
    return run(over_tls, "sync")


@pytest.fixture(scope="module")
def unsync(over_tls: Secured) -> dict[str, Any]:
    return run(over_tls, "async")


def kinds(statuses: list[dict[str, Any]]) -> list[str]:
    return [each["kind"] for each in statuses]


def test_it_is_the_version_the_dialect_was_read_from() -> None:
    assert version("fal-client") == "1.0.3"


def test_it_subscribes_with_logs_and_is_told_of_each_status(sync: dict[str, Any]) -> None:
    last = sync["updates"][-1]

    assert len(sync["enqueued"]) == 1
    assert last["kind"] == "Completed"
    assert (last["logs"][0]["message"], last["logs"][-1]["message"]) == ("queued", "completed")
    assert last["metrics"]["inference_time"] > 0
    assert (last["error"], last["error_type"]) == (None, None)


def test_what_it_gets_has_fals_shape(sync: dict[str, Any]) -> None:
    output = sync["subscribed"]

    assert set(output) == {"images", "timings", "seed", "has_nsfw_concepts", "prompt"}
    assert [set(image) for image in output["images"]] == [{"url", "width", "height", "content_type"}] * 2
    assert output["has_nsfw_concepts"] == [False, False]
    assert (output["seed"], output["prompt"]) == (7, "a lighthouse")


def test_it_submits_polls_and_gets(sync: dict[str, Any]) -> None:
    found = kinds(sync["seen"])

    assert found[-1] == "Completed"
    assert found == sorted(found, key=["Queued", "InProgress", "Completed"].index)
    assert "InProgress" in found
    assert sync["got"]["images"][0]["url"].startswith("https://localhost:")
    assert sync["picture"] == [64, 64]


def test_it_finds_a_request_by_its_app_and_id(sync: dict[str, Any]) -> None:
    assert sync["status"]["kind"] == "Completed"
    assert sync["result"] == sync["got"]


def test_it_runs_directly(sync: dict[str, Any]) -> None:
    assert len(sync["run"]["images"]) == 1
    assert sync["run_below"]["images"][0]["content_type"] == "image/jpeg"


def test_it_streams_what_is_seen_and_then_what_was_made(sync: dict[str, Any]) -> None:
    *seen, last = sync["streamed"]

    assert last["images"][0]["url"].startswith("https://")
    previews = [image["url"] for each in seen for image in each["images"]]
    assert previews
    assert all(url.startswith("data:image/") for url in previews)
    assert [each["progress"] for each in seen] == sorted(each["progress"] for each in seen)


def test_it_draws_a_picture_of_ours_anew_by_its_address(sync: dict[str, Any]) -> None:
    assert sync["drawn anew"]["images"][0]["width"] == 64


def test_it_brings_a_picture_and_takes_one_as_data(sync: dict[str, Any]) -> None:
    (image,) = sync["brought"]["images"]

    assert (image["width"], image["height"]) == (96, 128)
    assert image["url"].startswith("data:image/png;base64,")


def test_it_is_told_which_fields_are_wrong(sync: dict[str, Any]) -> None:
    told = sync["failures"]["field"]

    assert told["status"] == 422
    assert [each["loc"] for each in told["detail"]] == [["body", "prompt"], ["body", "num_images"]]
    assert all(set(each) == {"loc", "msg", "type"} for each in told["detail"])


def test_it_is_told_which_apps_there_are(sync: dict[str, Any]) -> None:
    told = sync["failures"]["app"]

    assert told["status"] == 404
    assert "fal-ai/flux/schnell" in told["detail"]


def test_it_is_told_of_a_picture_that_may_not_be_kept(sync: dict[str, Any]) -> None:
    told = sync["failures"]["content"]

    assert told["status"] == 422
    assert told["detail"][0]["type"] == "content_policy_violation"


def test_it_is_told_why_a_direct_call_failed(sync: dict[str, Any]) -> None:
    told = sync["failures"]["run"]

    assert (told["status"], told["type"]) == (500, "runner_server_error")


def test_a_request_that_nobody_starts_in_time_fails_as_at_fal(sync: dict[str, Any]) -> None:
    told = sync["failures"]["deadline"]

    assert (told["status"], told["type"]) == (504, "request_timeout")


def test_a_request_that_is_not_there_is_a_404(sync: dict[str, Any]) -> None:
    assert sync["failures"]["request"]["status"] == 404


def test_it_cancels(sync: dict[str, Any]) -> None:
    told = sync["cancelled"]

    assert told["status"]["error_type"] == "client_cancelled"
    assert (told["result"]["status"], told["result"]["type"]) == (499, "client_cancelled")
    assert told["again"]["status"] == 400


def test_its_own_timeout_cancels_the_request(sync: dict[str, Any]) -> None:
    told = sync["cancelled"]

    assert told["timeout"]
    assert told["after timeout"]["error_type"] == "client_cancelled"


def test_it_does_the_same_asynchronously(unsync: dict[str, Any]) -> None:
    assert kinds(unsync["updates"])[-1] == "Completed"
    assert unsync["got"]["images"][0]["width"] == 64
    assert unsync["status"]["logs"][-1]["message"] == "completed"
    assert len(unsync["run"]["images"]) == 1
    assert unsync["streamed"][-1]["seed"] == 7
    assert [each["seed"] for each in unsync["several"]] == [0, 1, 2, 3]
    assert unsync["cancelled"]["status"] == 499
    assert unsync["field"]["status"] == 422


def test_it_is_served_at_hosts_of_fals_own(over_tls: Secured) -> None:
    with proxy_to(over_tls.port) as proxy:
        told = run(over_tls, "host", FAL_RUN_HOST="fal.test", HTTPS_PROXY=proxy.url)

    one = f"https://queue.fal.test/fal-ai/flux/requests/{told['handle']['request_id']}"
    assert told["handle"]["response_url"] == one
    assert told["handle"]["status_url"] == f"{one}/status"
    assert told["got"]["images"][0]["url"].startswith("https://queue.fal.test/blobs/")
    assert told["run"]["images"][0]["url"].startswith("https://fal.test/blobs/")
    assert told["picture"] == [64, 64]
    assert told["result"]["seed"] == 7
    assert proxy.asked == {"fal.test:443", "queue.fal.test:443"}
