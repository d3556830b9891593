"""Our own Python client, synchronous and for asyncio, against a real server."""

import asyncio
from io import BytesIO
from typing import Any

import pytest
from imagemill_client import (
    ApiError,
    AsyncImagemill,
    Imagemill,
    JobNotSuccessful,
    ProgressBody,
    ServerUnreachable,
)
from imagemill_client.protocol import RetryPolicy
from PIL import Image

from tests.conftest import SD1, Server
from tests.deploy.by_hand import free_ports

INPUT: dict[str, Any] = {"model": SD1, "prompt": "a fox", "width": 64, "height": 80, "steps": 4}
STEPS = {"simulate": {"step_ms": 30}}


def test_a_job_is_run_followed_and_fetched(server: Server) -> None:
    seen: list[ProgressBody] = []
    with Imagemill(server.url, "any") as mill:
        job = mill.run("textToImage", INPUT, on_progress=seen.append, properties=STEPS)
        picture = Image.open(BytesIO(mill.download(job.artifacts[0])))

    assert job.status == "succeeded"
    assert picture.size == (64, 80)
    assert seen
    assert [each.step for each in seen] == sorted(each.step for each in seen)
    assert seen[-1].total == 4


def test_the_same_for_asyncio(server: Server) -> None:
    seen: list[ProgressBody] = []

    async def run() -> tuple[str, bytes, list[str]]:
        async with AsyncImagemill(server.url, "any") as mill:
            jobs = await asyncio.gather(
                *(mill.run("textToImage", INPUT, on_progress=seen.append, properties=STEPS) for _ in range(3))
            )
            listed = [job.id async for job in mill.list(limit=2)]
            return jobs[0].status, await mill.download(jobs[0].artifacts[0]), listed

    status, picture, listed = asyncio.run(run())
    assert status == "succeeded"
    assert Image.open(BytesIO(picture)).size == (64, 80)
    assert seen
    assert len(set(listed)) == 2


def test_a_refusal_names_the_field_and_has_a_code(server: Server) -> None:
    with Imagemill(server.url, "any") as mill, pytest.raises(ApiError) as caught:
        mill.submit("textToImage", {**INPUT, "steps": 0})

    assert caught.value.status == 400
    assert caught.value.code == "invalid_input"
    assert caught.value.problem is not None
    assert "input.steps" in (caught.value.problem.errors or {})
    assert "steps" in str(caught.value)


def test_a_job_that_fails_is_an_error_with_the_job(server: Server) -> None:
    with Imagemill(server.url, "any") as mill, pytest.raises(JobNotSuccessful, match="blocked") as caught:
        mill.run("textToImage", INPUT, properties={"simulate": {"fault": "content"}})

    assert caught.value.job.error is not None
    assert caught.value.job.error.code == "content_blocked"


def test_one_key_makes_one_job_and_an_estimate_makes_none(server: Server) -> None:
    with Imagemill(server.url, "any") as mill:
        first = mill.submit("textToImage", INPUT, idempotency_key="order-1")
        again = mill.submit("textToImage", INPUT, idempotency_key="order-1")
        cost = mill.estimate("textToImage", INPUT).cost
        newest = next(iter(mill.list()))

    assert first.id == again.id == newest.id
    assert cost > 0


def test_a_job_can_be_cancelled_and_lists_are_filtered(server: Server) -> None:
    with Imagemill(server.url, "any") as mill:
        slow = mill.submit("textToImage", INPUT, properties={"simulate": {"step_ms": 5000}})
        mill.cancel(slow.id)
        with pytest.raises(JobNotSuccessful) as caught:
            mill.wait(slow.id)
        canceled = list(mill.list(status="canceled"))

    assert caught.value.job.status == "canceled"
    assert [job.id for job in canceled] == [slow.id]


def test_an_uploaded_picture_is_an_input(server: Server) -> None:
    data = BytesIO()
    Image.new("RGB", (64, 80), "red").save(data, "PNG")
    with Imagemill(server.url, "any") as mill:
        uploaded = mill.upload(data.getvalue())
        job = mill.run("textToImage", {**INPUT, "image": f"blob:{uploaded.key}", "denoise": 0.5})

    assert (uploaded.width, uploaded.height) == (64, 80)
    assert job.status == "succeeded"


def test_a_server_that_is_away_is_an_error_after_the_retries() -> None:
    (port,) = free_ports(1)
    with (
        Imagemill(f"http://127.0.0.1:{port}", retry=RetryPolicy(retries=2, first_s=0.01)) as mill,
        pytest.raises(ServerUnreachable, match="does not answer"),
    ):
        mill.get("any")
