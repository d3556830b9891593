"""What one owner may hold of what all share: streams, uploads, keys, workflows."""

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from imagemill.accounts.keys import KeyRequest, Keys
from imagemill.accounts.store import MOST_KEYS
from imagemill.config import Settings
from imagemill.db.database import WriteMode
from imagemill.domain.clock import now_us
from imagemill.domain.errors import Conflict
from imagemill.settings import LimitSettings
from imagemill.workflows import store as workflow_store
from imagemill.workflows.store import PutWorkflow, WorkflowText
from tests.access.support import ADMIN_KEY, ask, bearer, guarded, key
from tests.conftest import Server, image_job, running_server
from tests.http.support import problem, until
from tests.tuning import tuned

SLOW = image_job(properties={"simulate": {"step_ms": 60_000}})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which an owner may have two streams."""
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("shared"),
        shutdown_grace_s=0,
        limit={"streams": 10},
        auth={"admin_key": ADMIN_KEY, "password_memory_mb": 8},
    )
    with running_server(settings) as server:
        yield server


def job_of(server: Server, token: str) -> str:
    return ask(server, token, "POST", "/v1/consumer/jobs", json=SLOW).json()["jobs"][0]["jobId"]


def streams(server: Server, token: str, job_id: str, count: int, open_: ExitStack) -> None:
    """Open so many event streams that stay open."""
    for _ in range(count):
        client = open_.enter_context(httpx2.Client(headers=bearer(token), timeout=100, verify=False))
        answer = open_.enter_context(client.stream("GET", f"{server.url}/api/v1/jobs/{job_id}/events"))
        assert answer.status_code == 200


def test_an_owner_has_its_share_of_streams_and_no_more(shared: Server) -> None:
    ann, bob = key(shared, "ann"), key(shared, "bob")
    of_ann, of_bob = job_of(shared, ann), job_of(shared, bob)
    fal = {"prompt": "a fox", "num_inference_steps": 1}
    with ExitStack() as open_:
        streams(shared, ann, of_ann, 2, open_)
        refused = [
            ask(shared, ann, "GET", f"/api/v1/jobs/{of_ann}/events"),
            ask(shared, ann, "POST", "/v1/consumer/jobs", params={"wait": "true"}, json=SLOW),
        ]
        told = ask(shared, ann, "POST", "/fal-run/fal-ai/fast-sdxl", json=fal)
        with (
            connect(
                f"{shared.url.replace('http', 'ws', 1)}/api/v1/jobs/{of_ann}/ws",
                additional_headers=bearer(ann),
            ) as socket,
            pytest.raises(ConnectionClosed) as closed,
        ):
            socket.recv(5)
        streams(shared, bob, of_bob, 2, open_)  # which are still there for others

    for answer in refused:
        assert "2 open event streams" in problem(answer, 429)["detail"]
        assert answer.headers["retry-after"]
    assert told.status_code == 429
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013
    until(lambda: ask(shared, ann, "GET", "/api/v1/jobs?limit=1").status_code == 200)
    with ExitStack() as open_:
        until(lambda: opens(shared, ann, of_ann, open_))


def opens(server: Server, token: str, job_id: str, open_: ExitStack) -> bool:
    """Whether a stream can be opened, now that the others are closed."""
    client = open_.enter_context(httpx2.Client(headers=bearer(token), timeout=100, verify=False))
    answer = open_.enter_context(client.stream("GET", f"{server.url}/api/v1/jobs/{job_id}/events"))
    return answer.status_code == 200


def test_the_owner_of_the_installation_has_all_streams(shared: Server) -> None:
    job_id = job_of(shared, ADMIN_KEY)
    with ExitStack() as open_:
        streams(shared, ADMIN_KEY, job_id, 4, open_)


def flat(size: int) -> bytes:
    """The same bytes each time."""
    file = io.BytesIO()
    Image.new("RGB", (size, size), (size, 0, 0)).save(file, "PNG")
    return file.getvalue()


def upload(server: Server, token: str, size: int) -> httpx2.Response:
    return ask(
        server, token, "POST", "/api/v1/uploads", content=flat(size),
        headers={"Content-Type": "image/png"},
    )  # fmt: skip


def test_an_owner_keeps_so_many_bytes_of_uploads(make_server: Callable[..., Server]) -> None:
    server = guarded(make_server, limit=tuned(LimitSettings, upload_bytes_of_owner=1024))
    ann, bob = key(server, "ann"), key(server, "bob")

    answers = [upload(server, ann, size) for size in range(20, 60)]
    kept = [answer for answer in answers if answer.status_code == 201]

    assert 0 < len(kept) < len(answers)
    told = problem(answers[-1], 409)["detail"]
    assert "1024 bytes" in told
    assert "retention" in told
    assert upload(server, ann, 20).status_code == 201  # which is there already
    assert upload(server, bob, 20).status_code == 201
    assert upload(server, ADMIN_KEY, 59).status_code == 201


def test_pictures_within_jobs_count_too_and_are_not_kept_beyond(make_server: Callable[..., Server]) -> None:
    limit = tuned(LimitSettings, uploads_of_owner=2)
    server = guarded(make_server, limit=limit)
    ann = key(server, "ann")

    def submit(size: int) -> httpx2.Response:
        data = base64.b64encode(flat(size)).decode()
        image = f"data:image/png;base64,{data}"
        body: dict[str, Any] = {
            "recipe": "textToImage",
            "input": {"model": SLOW["model"], "prompt": "a sea", "image": image},
        }
        return ask(server, ann, "POST", "/api/v1/jobs?whatif=true", json=body)

    answers = [submit(size) for size in (20, 21, 22, 20)]

    assert [answer.status_code for answer in answers] == [200, 200, 409, 200]


def test_an_account_has_so_many_valid_keys(make_server: Callable[..., Server]) -> None:
    server = guarded(make_server)
    ann = key(server, "ann")
    keys = Keys(server.app.stores.accounts, server.app.services.access.forget)
    made = [keys.make(KeyRequest(), "ann").key.id for _ in range(MOST_KEYS - 1)]

    told = problem(ask(server, ann, "POST", "/api/v1/keys", json={}), 409)["detail"]
    keys.revoke(made[0])

    assert f"{MOST_KEYS} keys" in told
    assert ask(server, ann, "POST", "/api/v1/keys", json={}).status_code == 201
    with pytest.raises(Conflict):
        keys.make(KeyRequest(), "ann")


def test_revoked_keys_do_not_pile_up(make_server: Callable[..., Server]) -> None:
    server = guarded(make_server)
    ann = key(server, "ann")
    keys = Keys(server.app.stores.accounts, server.app.services.access.forget)
    for _ in range(MOST_KEYS + 20):
        keys.revoke(keys.make(KeyRequest(), "ann").key.id)

    assert len(keys.of("ann")) <= MOST_KEYS + 2
    assert ask(server, ann, "GET", "/api/v1/auth/me").status_code == 200


def test_an_owner_has_so_many_workflows_and_versions(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow_store, "MOST_WORKFLOWS", 3)
    monkeypatch.setattr(workflow_store, "MOST_OWN_VERSIONS", 6)

    def put(name: str, mode: WriteMode, text: str = "", space: str = "ann") -> None:
        written = WorkflowText(name, name, text, text or name)
        store.workflows.put(PutWorkflow(written, mode, now_us(), space))

    for name in ("a", "b", "c"):
        put(name, WriteMode.CREATE)
    with pytest.raises(Conflict, match="3 workflows"):
        put("d", WriteMode.CREATE)
    put("d", WriteMode.CREATE, space="bob")
    put("d", WriteMode.CREATE, space="")
    put("a", WriteMode.DELETE)
    put("d", WriteMode.CREATE)
    put("b", WriteMode.REPLACE, "2")
    put("b", WriteMode.REPLACE, "3")
    with pytest.raises(Conflict, match="6 versions"):
        put("b", WriteMode.REPLACE, "4")
    put("b", WriteMode.REPLACE, "3")  # the same again is no new version
