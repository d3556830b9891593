"""A client that submits, polls and downloads as Civitai's nodes for ComfyUI do."""

import io
from typing import Any

import pytest
from PIL import Image

from tests.clients.polling_client import Failure, PollingClient
from tests.conftest import Server

INPUT = {"prompt": "a lighthouse", "width": 64, "height": 64, "steps": 4}


@pytest.fixture
def client(server: Server) -> PollingClient:
    return PollingClient(server.url, "test", submit_wait_s=1, poll_wait_s=2, apart_s=0.0, back_off_s=0.0)


@pytest.mark.parametrize(
    ("type_", "input_", "count"),
    [
        ("textToImage", {**INPUT, "quantity": 2}, 2),
        (
            "imageGen",
            {
                "engine": "sdcpp",
                "ecosystem": "sd1",
                "operation": "createImage",
                "model": "urn:air:sd1:checkpoint:civitai:4384@128713",
                **INPUT,
            },
            1,
        ),
    ],
    ids=["textToImage", "imageGen"],
)
def test_it_gets_pictures(client: PollingClient, type_: str, input_: dict[str, Any], count: int):
    files = client.run(type_, input_)
    assert [Image.open(io.BytesIO(file)).size for file in files] == [(64, 64)] * count


def test_it_polls_for_a_workflow_that_takes_longer_than_its_first_request(client: PollingClient):
    slow = {"simulate": {"step_ms": 400}}
    assert len(client.run("textToImage", INPUT, metadata=slow)) == 1


def test_it_tries_again_when_the_server_is_overloaded(client: PollingClient):
    busy = {"simulate": {"http": 503, "times": 2}}
    assert len(client.run("textToImage", INPUT, metadata=busy)) == 1


def test_it_says_why_a_step_failed(client: PollingClient):
    with pytest.raises(Failure, match="blocked by the content filter"):
        client.run("textToImage", INPUT, metadata={"simulate": {"fault": "content"}})
    with pytest.raises(Failure, match=r"400: steps\[0\]\.input\.width: should be at least 64"):
        client.run("textToImage", {**INPUT, "width": 1})


def test_it_cancels_when_its_time_is_over(client: PollingClient, server: Server):
    with pytest.raises(Failure, match="not finished in time") as caught:
        client.run("textToImage", INPUT, limit_s=0, metadata={"simulate": {"step_ms": 2000}})
    id_ = str(caught.value).split()[0]
    ended = server.client.get(f"/v2/consumer/workflows/{id_}", params={"wait": "20"}).json()
    assert ended["status"] == "canceled"
