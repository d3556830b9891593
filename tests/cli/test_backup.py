"""``imagemill backup`` while jobs run, and a server that starts from the copy."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from imagemill.cli.app import app
from imagemill.config import Settings
from tests.conftest import running_server
from tests.http.support import until

BODY = {"recipe": "textToImage", "input": {"prompt": "a fox", "width": 64, "height": 64, "steps": 1}}
JOBS = 30


def backup(data: Path, folder: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["backup", str(folder), "--data-dir", str(data), "--json", *more])


def items(server: Any) -> dict[str, dict[str, Any]]:
    page = server.client.get("/api/v1/jobs", params={"limit": 100}).json()
    return {item["id"]: item for item in page["items"]}


def test_a_copy_made_while_jobs_run_has_every_job_and_every_delivered_file(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    with running_server(Settings(_env_file=None, data_dir=data)) as server:
        ids = {server.client.post("/api/v1/jobs", json=BODY).json()["id"] for _ in range(JOBS)}
        result = backup(data, copy)
        assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["database"] is True
    assert {path.name for path in copy.iterdir()} <= {"imagemill.db", "blobs", "secrets"}
    assert copy.stat().st_mode & 0o077 == 0
    with running_server(Settings(_env_file=None, data_dir=copy)) as restored:
        until(lambda: all(each["status"] == "succeeded" for each in items(restored).values()), 40)
        assert items(restored).keys() == ids
        for id_ in ids:
            job = restored.client.get(f"/api/v1/jobs/{id_}").json()
            assert restored.client.get(job["artifacts"][0]["url"]).status_code == 200


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    with running_server(Settings(_env_file=None, data_dir=data)):
        pass
    copy.mkdir()
    assert "name a new folder" in backup(data, copy).output
    (tmp_path / "other.partial").mkdir()
    assert "interrupted backup" in backup(data, tmp_path / "other").output
    assert not (tmp_path / "other").exists()


def test_postgres_is_left_to_its_own_program(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("IMAGEMILL_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/absent")
    (tmp_path / "data" / "blobs").mkdir(parents=True)
    (tmp_path / "data" / "blobs" / "one.png").write_bytes(b"a picture")
    refused = backup(tmp_path / "data", tmp_path / "copy")
    assert refused.exit_code == 2
    assert "pg_dump" in refused.output
    copied = backup(tmp_path / "data", tmp_path / "copy", "--files-only")
    assert copied.exit_code == 0, copied.output
    assert (tmp_path / "copy" / "blobs" / "one.png").read_bytes() == b"a picture"


def test_an_absent_database_is_not_made(tmp_path: Path) -> None:
    missing = backup(tmp_path / "absent", tmp_path / "copy")
    assert missing.exit_code == 2
    assert not (tmp_path / "copy").exists()
