"""Sets of stickers and what else is wanted: nobody starves, and nothing is lost or made twice."""

import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from imagemill.domain.clock import SECOND, now_us, uuid7
from imagemill.domain.scheduling import Offer
from imagemill.jobs.store.claim import ClaimRequest
from tests.characters.support import ADMIN_KEY, API, LIA, avatar, ended, idle, order, sticker
from tests.cli.programs import running
from tests.conftest import Server
from tests.money.test_http import account
from tests.service.build import run_settings


def claimed(server: Server) -> str:
    """The job that the next idle slot would run."""
    now = now_us()
    offer = Offer("worker-1", "sim-1", "simulator", frozenset({"gpu"}))
    claim = server.app.stores.jobs.claim_next(
        ClaimRequest(offer, uuid7(), now, now + 60 * SECOND, run_settings()[0].placement)
    )
    assert claim is not None
    return claim.id


def test_single_pictures_overtake_sets(make_server: Callable[..., Server]):
    server = idle(make_server)
    for _ in range(3):
        order(server.client, "stickers/bulk", {"characterId": "lia", "character": LIA})
    single = order(server.client, "sticker", sticker())["jobId"]
    portrait = order(server.client, "avatar", avatar())["jobId"]
    assert {claimed(server), claimed(server)} == {single, portrait}


def test_the_sets_of_one_user_do_not_hold_up_another(make_server: Callable[..., Server]):
    server = idle(
        make_server, auth={"admin_key": ADMIN_KEY, "remember_s": 0}, characters={"bulk_priority": 0}
    )
    with account(server, "ann") as ann, account(server, "bob") as bob:
        for _ in range(4):
            order(ann, "stickers/bulk", {"characterId": "lia", "character": LIA})
        mine = order(bob, "sticker", sticker())["jobId"]
        assert mine in {claimed(server), claimed(server)}


def test_a_set_is_made_in_the_end(make_server: Callable[..., Server]):
    """Standing back is bounded: jobs that came later do not overtake it for ever."""
    server = idle(make_server, characters={"bulk_priority": 5})
    first = order(server.client, "stickers/bulk", {"characterId": "lia", "character": LIA})["jobIds"]
    for _ in range(40):
        order(server.client, "avatar", avatar())
    assert any(claimed(server) in first for _ in range(30))


@pytest.mark.timeout(240)
def test_a_set_that_is_killed_in_the_middle_has_each_sticker_once(tmp_path: Path):
    settings = {
        "IMAGEMILL_DATA_DIR": str(tmp_path / "data"),
        "IMAGEMILL_SIMULATOR__STEP_MS": "5",
        "IMAGEMILL_SWEEP_S": "0.05",
        "IMAGEMILL_JOB__HEARTBEAT_S": "0.05",
    }
    with running("serve", "--port", "0", cwd=tmp_path, **settings) as program:
        with program.client() as client:
            answer = order(client, "stickers/bulk", {"characterId": "lia", "character": LIA})
            ids = answer["jobIds"]
            end = time.monotonic() + 60
            while client.get(f"{API}/status/{ids[0]}").json()["state"] != "completed":
                assert time.monotonic() < end
                time.sleep(0.01)
            states = [client.get(f"{API}/status/{id_}").json()["state"] for id_ in ids]
            assert "waiting" in states
        program.signal(signal.SIGKILL)
        program.ended()
    with running("serve", "--port", "0", cwd=tmp_path, **settings) as program, program.client() as client:
        found = [ended(client, job_id, 120) for job_id in ids]
        assert [each["data"]["status"] for each in found] == ["COMPLETED"] * 8
        images = client.get(f"{API}/characters/lia/images").json()["items"]
        assert Counter(image["jobId"] for image in images) == Counter(ids)
        assert all(image["active"] for image in images)
        for job_id in ids:
            log = client.get(f"/api/v1/jobs/{job_id}/events", params={"stream": "false"}).json()["items"]
            assert [event["type"] for event in log].count("Succeeded") == 1
