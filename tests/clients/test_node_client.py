"""The published npm client, civitai, unmodified against a real server."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import npm
from tests.conftest import Server
from tests.docs.test_first_steps import blocks, section

SOURCE = Path(__file__).parent / "node"


@dataclass(frozen=True)
class Client:
    installed: npm.Installed

    def run(self, server: Server, what: str) -> Any:
        """What the program printed last; the client itself prints every request."""
        printed = self.installed.run("client.js", server.url, what)
        return json.loads(printed.splitlines()[-1])


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """The client, installed as its lock file says."""
    return Client(npm.install(SOURCE, tmp_path_factory.mktemp("node") / "client"))


def test_the_lock_file_pins_everything_and_names_no_source() -> None:
    lock = json.loads((SOURCE / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}

    assert packages["node_modules/civitai"]["version"] == "0.1.15"
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert all("resolved" not in package for package in packages.values())
    assert lock["packages"][""]["dependencies"] == {"civitai": "0.1.15"}


def test_the_program_of_the_docs_runs_as_it_is(client: Client, server: Server) -> None:
    def run(page: str, heading: str) -> str:
        """Return the last line that the page's first program prints."""
        program = blocks(section(page, heading), "js")[0].replace("http://127.0.0.1:8700", server.url)
        (client.installed.folder / "snippet.js").write_text(program, encoding="utf-8")
        return client.installed.run("snippet.js").splitlines()[-1]

    token = run("docs/clients.md", "Node: civitai")
    assert server.client.get("/v1/consumer/jobs", params={"token": token}).json()["jobs"]


@pytest.mark.parametrize("step", ["fromText", "fromTextSlow", "fromComfy"])
def test_it_creates_waits_and_downloads(client: Client, server: Server, step: str) -> None:
    told = client.run(server, step)
    waited = told["answer"]["jobs"][0]["result"]["jobs"][0]

    assert waited["scheduled"] is False
    assert waited["result"]["available"] is True
    assert told["picture"]["status"] == 200
    assert told["picture"]["type"] == "image/png"
    assert told["picture"]["size"] > 100
    # A wait that is not honoured costs 30 s, the time between two looks of the client.
    assert told["tookMs"] < 10_000


def test_it_reads_by_id_token_and_query(client: Client, server: Server) -> None:
    told = client.run(server, "read")
    job_id = told["created"]["jobs"][0]["jobId"]

    assert told["byId"]["jobId"] == job_id
    assert told["byId"]["result"]["available"] is True
    assert [job["jobId"] for job in told["byToken"]["jobs"]] == [job_id]
    assert told["byToken"]["jobs"][0]["result"] == told["byId"]["result"]
    assert [job["jobId"] for job in told["byQuery"]["jobs"]] == [job_id]
    assert told["byQuery"]["jobs"][0]["job"]["params"]["scheduler"] == "EulerA"


def test_it_cancels(client: Client, server: Server) -> None:
    told = client.run(server, "cancel")

    assert told["answer"]["status"] == 200
    assert told["read"]["scheduled"] is False
    assert "blobUrl" not in told["read"]["result"]


def test_it_stops_at_once_when_a_job_has_failed(client: Client, server: Server) -> None:
    told = client.run(server, "failed")

    assert "blobUrl" not in told["answer"]["jobs"][0]["result"]
    assert told["tookMs"] < 10_000


def test_it_looks_up_coverage(client: Client, server: Server) -> None:
    known, unknown = client.run(server, "coverage").values()

    assert known["availability"] == "Available"
    assert unknown["availability"] == "Unsupported"


def test_it_is_told_what_was_wrong(client: Client, server: Server) -> None:
    told = client.run(server, "refused")

    assert told["name"] == "ApiError"
    assert told["status"] == 400
    assert "not registered" in told["body"]["errors"]["model"][0]
