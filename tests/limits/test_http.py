"""Limits as clients see them."""

from collections.abc import Callable

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import QueueFull
from imagemill.jobs.store.queue_depth import Workload
from imagemill.quotas.service import QueueDeadlineCheck
from tests.conftest import Server
from tests.money.test_http import ADMIN_KEY, account, native_job
from tests.store.build import add, claim, draft, succeed


@pytest.fixture
def limited(make_server: Callable[..., Server]) -> Server:
    server = make_server(
        quota={"enabled": True, "requests_per_minute": 1000, "cooldown_s": {"textToImage": 60}},
        auth={"admin_key": ADMIN_KEY, "remember_s": 0.5},
    )
    server.client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
    return server


def test_every_answer_tells_what_is_left(limited: Server):
    with account(limited, "ann") as ann:
        first = ann.get("/api/v1/jobs")
        assert first.headers["ratelimit-policy"] == '"requests";q=1000;w=60'
        assert first.headers["ratelimit"].startswith('"requests";r=999;t=')
        assert "ratelimit" not in limited.client.get("/api/v1/jobs").headers


def test_too_many_requests_are_refused_at_the_gate(limited: Server):
    with account(limited, "ann") as ann:
        answer = limited.client.put("/api/v1/limits/ann", json={"limits": {"requests": 0}})
        assert answer.json()["own"] == {"requests": 0}
        refused = ann.get("/api/v1/jobs")
        assert refused.status_code == 429
        assert refused.json()["type"] == "urn:imagemill:problem:rate_limited"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["ratelimit"].startswith('"requests";r=0;t=')
        limited.client.put("/api/v1/limits/ann", json={"limits": {"requests": None}})
        assert ann.get("/api/v1/jobs").status_code == 200


def test_a_job_beyond_a_limit_is_refused_and_the_headers_name_the_limit(limited: Server):
    with account(limited, "ann") as ann:
        assert ann.post("/api/v1/jobs", json=native_job()).status_code == 201
        refused = ann.post("/api/v1/jobs", json=native_job())
        assert refused.status_code == 429
        assert refused.headers["ratelimit-policy"] == '"cooldown-textToImage";q=1;w=60'
        assert 50 <= int(refused.headers["retry-after"]) <= 60
        assert len(ann.get("/api/v1/jobs").json()["items"]) == 1


def test_limits_of_its_own_are_the_administrator_s_to_give(limited: Server):
    with account(limited, "ann") as ann:
        assert ann.put("/api/v1/limits/ann", json={"limits": {}}).status_code == 403
        assert ann.get("/api/v1/limits/ann").status_code == 403
        shown = ann.get("/api/v1/limits").json()
        assert shown["limits"]["cooldown:textToImage"] == 60
        assert shown["used"] == {"jobs": 0, "megapixels": 0}
        wrong = limited.client.put("/api/v1/limits/ann", json={"limits": {"jbos": 1}})
        assert wrong.status_code == 400
        assert limited.client.put("/api/v1/limits/nobody", json={"limits": {}}).status_code == 404


def test_a_queue_with_more_work_than_a_job_s_life_refuses_it():
    now = now_us()
    watch = QueueDeadlineCheck(lambda _: {"gpu": Workload(waiting_s=100.0, rate=2.0)})
    watch.look()
    watch.check([draft(expires_at=now + 60 * SECOND)], now)
    with pytest.raises(QueueFull) as refusal:
        watch.check([draft(expires_at=now + 40 * SECOND)], now)
    assert refusal.value.after_s == pytest.approx(10)
    watch.check([draft(queue="remote", expires_at=now + SECOND)], now)


def test_a_queue_s_work_is_measured(store: Stores):
    now = now_us()
    add(store, estimate_s=30.0)
    succeed(store, claim(store), at=now - 10 * SECOND)
    for _ in range(3):
        add(store, estimate_s=4.0)
    found = store.jobs.workload(now)["gpu"]
    assert found.waiting_s == 12
    assert found.rate == pytest.approx(3.0)
