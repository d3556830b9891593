"""Workflows of Civitai's v2 API across SIGKILL: every step ends once, in the order of the references, and the
callbacks end with the last word."""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.civitai_v2.http_support import WORKFLOWS, picture, ref
from tests.conftest import TOKEN
from tests.durability.test_kill import Victim
from tests.http.support import Receiver, running_receiver

COUNT = 24
KILLS = 4


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


def workflow(number: int, receiver: Receiver) -> dict[str, Any]:
    return {
        "externalId": f"order-{number}",
        "steps": [
            picture(f"number {number}", quantity=2),
            {"$type": "echo", "input": {"message": f"words {number}"}},
            picture(ref("$1", "output.message"), sourceImage=ref("$0", "output.images[1].url")),
            picture(sourceImage=ref("$2", "output.images[0].url")),
        ],
        "callbacks": [{"url": receiver.url, "type": ["workflow:*"]}],
    }


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
@pytest.mark.timeout(240)
def test_killed_at_random_moments_no_step_is_lost_or_done_twice(
    database: str, request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver
):
    url = (
        request.getfixturevalue("postgres_url")
        if database == "postgres"
        else f"sqlite:///{tmp_path / 'store.db'}"
    )
    victim = Victim(tmp_path / "data", url, tmp_path / "log")
    victim.environment["IMAGEMILL_ALLOW_NETWORKS"] = "127.0.0.0/8"
    rng = random.Random(database)
    try:
        victim.start()
        ids = {number: submit(victim.url, number, receiver) for number in range(COUNT)}
        for _ in range(KILLS):
            time.sleep(0.2 + rng.random() * 0.6)
            victim.kill()
            victim.start()
            # A client that does not know whether its request arrived sends it again.
            again = rng.randrange(COUNT)
            assert submit(victim.url, again, receiver) == ids[again]
        ended = [wait(victim.url, id_) for id_ in ids.values()]
        for each in ended:
            check(each)
        last = await_last_words(receiver, set(ids.values()))
    finally:
        victim.stop()
    assert set(last.values()) == {"succeeded"}


def submit(url: str, number: int, receiver: Receiver) -> str:
    body = workflow(number, receiver)
    answer = httpx2.post(f"{url}{WORKFLOWS}", json=body, headers=TOKEN, timeout=100, verify=False)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()["id"]


def wait(url: str, id_: str) -> dict[str, Any]:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        answer = httpx2.get(
            f"{url}{WORKFLOWS}/{id_}", params={"wait": "30"}, headers=TOKEN, timeout=60, verify=False
        )
        if answer.status_code == 200:
            return answer.json()
    raise AssertionError(f"{id_} has not ended: {answer.text[:2000]}")


def check(ended: dict[str, Any]) -> None:
    assert ended["status"] == "succeeded", ended
    assert [len(step["jobs"]) for step in ended["steps"]] == [2, 1, 1, 1]
    assert [len(step["output"].get("images", ())) for step in ended["steps"]] == [2, 0, 1, 1]
    first, words, second, third = ended["steps"]
    assert second["input"]["prompt"] == words["output"]["message"]
    assert second["input"]["sourceImage"].partition("?")[0] == url_of(first, 1)
    assert third["input"]["sourceImage"].partition("?")[0] == url_of(second, 0)


def url_of(step: dict[str, Any], number: int) -> str:
    return step["output"]["images"][number]["url"].partition("?")[0]


def await_last_words(receiver: Receiver, ids: set[str]) -> dict[str, str]:
    """The last status that was reported of each workflow, once all have ended."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        last = {body["workflowId"]: body["status"] for _, body, _ in receiver.calls}
        if set(last) == ids and "processing" not in last.values():
            return last
        time.sleep(0.05)
    raise AssertionError(f"not all ends were reported: {last}")
