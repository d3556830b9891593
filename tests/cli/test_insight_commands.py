"""``imagemill stats``, ``jobs forecast``, ``jobs placement`` and ``nodes models`` against a real server."""

from collections.abc import Callable

from typer.testing import CliRunner

from imagemill.cli.app import app
from imagemill.domain.clock import SECOND, now_us
from tests.conftest import Server, image_job
from tests.http.support import job_ids, until


def said(server: Server, *arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--url", server.url])
    assert result.exit_code == 0, result.output
    return result.stdout


def row(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_what_happened_and_what_will(make_server: Callable[..., Server]) -> None:
    server = make_server(shutdown_grace_s=0, resources={"seed": True}, simulator={"slots": 1})
    assert "no minute is counted yet" in said(server, "stats")
    assert "no job waits" in said(server, "jobs", "forecast")
    (done,) = job_ids(server.submit())
    node = server.wait(done)["node"]
    server.app.minutes.record(now_us() + 90 * SECOND)

    assert "1" in row(said(server, "stats", "--series", "finished"), "finished")
    assert row(said(server, "stats", "--series", "node_busy", "--all"), "node_busy")
    assert "loaded" in row(said(server, "nodes", "models", "-q", "4384"), "sd1/")
    assert f"attempt 1: {node}" in said(server, "jobs", "placement", done)

    slow, waiting = job_ids(
        server.submit(image_job(quantity=2, properties={"simulate": {"step_ms": 60_000}}))
    )
    until(lambda: server.client.get(f"/api/v1/jobs/{slow}").json()["status"] == "running")
    forecast = said(server, "jobs", "forecast", "--all")
    assert node in row(forecast, waiting)
    assert "all are done at" in forecast
    assert "yes" in row(said(server, "jobs", "placement", waiting), node)
    assert "no node takes jobs now" in said(server, "jobs", "forecast", "--without", node)
