"""The fleet of compose.yaml, started by hand: there is no Docker engine where the tests run."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from imagemill.db.engine import normalise
from tests.cli.programs import image_job, run
from tests.deploy import compose
from tests.deploy.by_hand import ByHand, started
from tests.deploy.test_compose import SECRETS


@pytest.fixture(scope="module")
def fleet(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ByHand]:
    admin = sa.create_engine(normalise(postgres_server), isolation_level="AUTOCOMMIT")
    name = f"compose_{time.monotonic_ns()}"
    with admin.connect() as conn:
        conn.execute(sa.text(f"CREATE DATABASE {name}"))
    url = sa.make_url(normalise(postgres_server)).set(database=name).render_as_string(hide_password=False)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        started(compose.load(SECRETS), Path(folder), url) as fleet,
    ):
        yield fleet
    with admin.connect() as conn:
        conn.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def finished(client: httpx2.Client, job_id: str) -> dict[str, Any]:
    end = time.monotonic() + 30
    while not (job := client.get(f"/api/v1/jobs/{job_id}").json())["finishedAt"]:
        assert time.monotonic() < end, job
        time.sleep(0.05)
    return job


def test_all_services_start_in_the_files_order(fleet: ByHand) -> None:
    request = [name for names in fleet.compose.order() for name in names]
    assert fleet.started == [name for name in request if name != "frontend"]
    assert fleet.started.index("migrate") > fleet.started.index("db")


def test_a_job_of_the_api_runs_on_the_worker_and_its_picture_is_fetched(fleet: ByHand) -> None:
    with fleet.processes["web"].client() as client:
        client.headers["Authorization"] = f"Bearer {SECRETS['IMAGEMILL_AUTH__ADMIN_KEY']}"
        answer = client.post("/v1/consumer/jobs", json=image_job())
        assert answer.status_code == 200, answer.text
        job = finished(client, answer.json()["jobs"][0]["jobId"])
        assert job["status"] == "succeeded", job
        url = httpx2.URL(job["artifacts"][0]["url"])
        picture = httpx2.get(
            f"{client.base_url}".rstrip("/") + url.raw_path.decode(), trust_env=False, verify=False
        )
    assert picture.status_code == 200
    assert picture.headers["content-type"].startswith("image/")
    assert len(picture.content) == int(picture.headers["content-length"]) > 100
    lines = fleet.processes["worker-gpu"].lines()
    ran = [line for line in lines if job["id"] in line.values()]
    assert ran, "the worker's log does not know the job"


def test_the_folders_of_the_processes_hold_no_picture_and_no_key(fleet: ByHand) -> None:
    left = [
        path.relative_to(fleet.folder)
        for name in fleet.processes
        for path in (fleet.folder / name / "data").rglob("*")
        if path.is_file() and path.parent.name != "run"
    ]
    assert left == []


def test_the_doctor_finds_nothing_wrong_from_a_worker(fleet: ByHand) -> None:
    done = run("doctor", cwd=fleet.folder, **fleet.environment("worker-gpu"))
    assert done.returncode == 0, done.stdout
    assert " error " not in done.stdout
    for part in ("database", "clock", "broker", "redis", "blobs"):
        assert f"ok       {part}" in done.stdout


def test_a_wrong_password_of_redis_is_refused_and_told(fleet: ByHand) -> None:
    environment = fleet.environment("scheduler")
    wrong = environment["IMAGEMILL_BROKER_URL"].replace(SECRETS["REDIS_PASSWORD"], "guess")
    done = run("doctor", "--only", "redis", cwd=fleet.folder, IMAGEMILL_REDIS_URL=wrong)
    assert done.returncode == 1
    assert "IMAGEMILL_REDIS_URL" in done.stdout
    assert "guess" not in done.stdout + done.stderr
