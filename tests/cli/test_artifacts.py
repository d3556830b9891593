"""``imagemill artifacts`` and the counts of jobs, against a real server."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from imagemill.cli.app import app
from tests.conftest import Server
from tests.http.support import image_job, job_ids


def ask(server: Server, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", server.url])


def answer(server: Server, *arguments: str) -> Any:
    result = ask(server, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


@pytest.fixture(scope="module")
def job(server: Server) -> str:
    return job_ids(server.submit(image_job(params={"prompt": "a heron", "seed": 7}), wait="true"))[0]


def test_artifacts_are_listed_rated_saved_and_deleted(server: Server, job: str, tmp_path: Path) -> None:
    (item,) = answer(server, "artifacts", "list", "--job", job)["items"]
    id_ = item["id"]
    assert "a heron" in ask(server, "artifacts", "list", "--job", job).output
    assert answer(server, "artifacts", "rate", id_, "4")["rating"] == 4
    assert [each["id"] for each in answer(server, "artifacts", "list", "--rating", "4")["items"]] == [id_]

    (saved,) = answer(server, "artifacts", "download", id_, "--output", str(tmp_path))["files"]
    file = tmp_path / "all.zip"
    assert answer(server, "artifacts", "zip", "--text", "heron", "--output", str(file))["artifacts"] == 1
    with zipfile.ZipFile(file) as archive:
        (name,) = archive.namelist()
        assert "a-heron-7" in name
        assert archive.read(name) == Path(saved).read_bytes()

    assert answer(server, "artifacts", "delete", id_) == {"deleted": [id_]}
    assert "no such artifacts" in ask(server, "artifacts", "list", "--job", job).output
    refused = ask(server, "artifacts", "download", id_)
    assert refused.exit_code == 1
    assert "were deleted" in refused.output


def test_jobs_are_filtered_and_counted(server: Server, job: str) -> None:
    assert [each["id"] for each in answer(server, "jobs", "list", "--text", "heron")["items"]] == [job]
    assert "no such jobs" in ask(server, "jobs", "list", "--text", "heron", "--node", "attic").output
    (group,) = answer(server, "jobs", "counts", "--text", "heron")["items"]
    assert (group["key"], group["count"]) == ("succeeded", 1)
    assert "succeeded" in ask(server, "jobs", "counts").output
