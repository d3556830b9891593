"""The published Python client, civitai-py, unmodified against a real server."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.conftest import Server

PROGRAM = Path(__file__).with_name("python_client.py")


def run(server: Server, what: str) -> Any:
    """What the program printed; a process of its own, as the client reads its token when imported."""
    command = [sys.executable, "-W", "ignore", str(PROGRAM), server.url, what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_is_the_version_the_contract_was_read_from() -> None:
    assert version("civitai-py") == "0.1.10"


def test_it_creates_waits_and_downloads(server: Server) -> None:
    told = run(server, "create")
    (job,) = told["answer"]["jobs"]

    assert told["answer"]["token"]
    assert job["scheduled"] is False
    assert job["cost"] > 0
    assert set(job["result"]) >= {"blobKey", "available", "blobUrl", "seed"}
    assert (told["status"], told["type"]) == (200, "image/png")
    assert told["size"] > 100
    # It looks every second, and finds the picture at its second look at the latest.
    assert told["tookS"] < 4


def test_it_creates_several_at_once(server: Server) -> None:
    jobs = run(server, "many")["jobs"]

    assert len(jobs) == 3
    assert len({job["result"]["blobUrl"] for job in jobs}) == 3


def test_it_reads_by_token_later(server: Server) -> None:
    told = run(server, "read")

    assert told["created"]["jobs"][0]["result"]["blobKey"]
    assert told["read"]["token"] == told["created"]["token"]
    assert told["read"]["jobs"][0]["jobId"] == told["created"]["jobs"][0]["jobId"]
    assert told["read"]["jobs"][0]["result"]["available"] is True


def test_it_queries_by_properties_with_details(server: Server) -> None:
    told = run(server, "query")

    assert [job["jobId"] for job in told["found"]["jobs"]] == [told["created"]["jobs"][0]["jobId"]]
    (found,) = told["found"]["jobs"]
    assert found["properties"] == {"userId": 123}
    assert found["lastEvent"]["type"] == "Succeeded"


def test_it_cancels(server: Server) -> None:
    told = run(server, "cancel")

    (job,) = told["read"]["jobs"]
    assert job["scheduled"] is False
    assert "blobUrl" not in job["result"]


def test_it_is_told_when_a_job_is_refused(server: Server) -> None:
    told = run(server, "refused")

    assert told["error"] == "HTTPException"
    assert "400" in told["text"]
