"""A database, a disk or a decoder that hangs stops neither health checks nor other requests."""

import errno
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from imagemill.blobs.local import LocalBlobs
from imagemill.domain.errors import StorageError
from tests.conftest import Server, image_job
from tests.http.support import job_ids, slow_job, until
from tests.media.files import png


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds the write lock."""
    holder = sqlite3.connect(path, isolation_level=None, timeout=30)
    holder.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


def test_writes_that_wait_for_a_lock_hold_up_no_read_and_no_probe(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = make_server(simulator={"slots": 1})
    ids = [job_id for _ in range(30) for job_id in job_ids(server.submit(slow_job(1000)))]
    with ThreadPoolExecutor(30) as clients:
        with locked(tmp_path / "data" / "imagemill.db"):
            waiting = [clients.submit(server.client.post, f"/api/v1/jobs/{each}/cancel") for each in ids]
            until(lambda: len(server.app.stores.database._commits._waiting) >= 10)
            for path in ("/health/live", "/api/v1/jobs", f"/api/v1/jobs/{ids[0]}", "/metrics"):
                assert server.client.get(path, timeout=20).status_code == 200
            assert server.client.get("/health/ready", timeout=20).status_code in (200, 503)
            assert not any(each.done() for each in waiting)
        assert {each.result(30).status_code for each in waiting} == {200}


def test_readiness_is_false_and_writes_are_refused_once_the_database_is_gone(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = make_server()
    file = tmp_path / "data" / "imagemill.db"
    file.unlink()
    refused = server.submit(image_job())
    assert refused.status_code == 503
    assert "deleted or replaced" in refused.text
    server.app.stores.database._commits.committed_at = float("-inf")
    answer = server.client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["ok"] is False
    assert answer.json()["database"] != "ok"
    assert server.client.get("/health/live").status_code == 200
    assert not file.exists()


def test_a_check_that_hangs_is_answered_and_made_once(make_server: Callable[..., Server]) -> None:
    held, started = threading.Event(), []

    def hang() -> None:
        started.append(None)
        held.wait(30)

    server = make_server()
    probe = server.app.services.probes["blobs"]
    probe._check, probe._limit_s = hang, 0.05
    try:
        for _ in range(20):
            answer = server.client.get("/health/ready")
            assert answer.status_code == 503
            assert answer.json()["blobs"] == "no answer within 0.05 s"
        assert len(started) == 1
    finally:
        held.set()


class Hanging(LocalBlobs):
    """A store that does not answer for clients' pictures."""

    def __init__(self, root: Path, held: threading.Event) -> None:
        super().__init__(root)
        self._held = held

    def put(self, key: str, data: bytes, media_type: str) -> None:
        if key.startswith("inputs/"):
            self._held.wait(30)
        super().put(key, data, media_type)

    create = put


def test_uploads_that_hang_hold_up_no_other_request(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = make_server()
    held = threading.Event()
    server.app.blobs._blobs = Hanging(tmp_path / "data" / "blobs", held)
    with ThreadPoolExecutor(24) as clients:
        uploads = [
            clients.submit(
                server.client.post,
                "/api/v1/uploads",
                content=png(size=(16 + number, 16)),
                headers={"Content-Type": "image/png"},
            )
            for number in range(24)
        ]
        try:
            until(lambda: sum(each.running() for each in uploads) == 24)
            for path in ("/health/live", "/health/ready", "/api/v1/jobs"):
                assert server.client.get(path, timeout=20).status_code == 200
            assert server.submit(image_job(), wait="true").status_code == 200
        finally:
            held.set()
        assert {each.result(30).status_code for each in uploads} == {201}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_temporary_folder_is_no_bug(
    make_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    class Full:
        def __init__(self, **_: Any) -> None:
            raise OSError(number, "No space left on device")

    server = make_server()
    monkeypatch.setattr("imagemill.api.uploads.tempfile.SpooledTemporaryFile", Full)
    answer = server.client.post("/api/v1/uploads", content=png(), headers={"Content-Type": "image/png"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "No space left" in answer.json()["detail"]
    assert answer.json()["type"].endswith(StorageError.code)
