"""``imagemill credits``, ``limits`` and ``webhooks`` against a real server, as their pages show them."""

import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from imagemill.cli.app import app
from imagemill.config import Settings
from imagemill.domain.access import Role
from tests.access.support import ADMIN_KEY, key
from tests.conftest import Server, image_job, running_server
from tests.http.support import until
from tests.webhooks.receivers import Receiver, receiving

DOCS = Path(__file__).parents[2] / "docs"
HOOK = "https://app.example/hooks/imagemill"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("owning"),
        auth={"admin_key": ADMIN_KEY},
        credits={"enabled": True},
        quota={"enabled": True, "requests_per_minute": 10_000},
        webhook={"tries": 1, "timeout_s": 2},
        allow_networks=("127.0.0.0/8",),
    )
    with running_server(settings) as server:
        server.client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
        for owner in ("ann", "bob"):
            server.client.post("/api/v1/owners", json={"id": owner}).raise_for_status()
        yield server


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def ask(server: Server, *arguments: str, token: str = ADMIN_KEY) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", server.url, "--token", token])


def output_of(server: Server, *arguments: str, token: str = ADMIN_KEY) -> str:
    result = ask(server, *arguments, token=token)
    assert result.exit_code == 0, result.output
    return result.stdout


def answer(server: Server, *arguments: str, token: str = ADMIN_KEY) -> Any:
    return json.loads(output_of(server, *arguments, "--json", token=token))


def refused(server: Server, *arguments: str, token: str = ADMIN_KEY) -> str:
    result = ask(server, *arguments, token=token)
    assert result.exit_code == 1, result.output
    return result.stderr


def shown(page: str, command: str) -> list[str]:
    """Return the lines of a page that call one of the commands."""
    text = (DOCS / page).read_text(encoding="utf-8")
    lines = "\n".join(BLOCK.findall(text)).splitlines()
    found = [line for line in lines if line.startswith(f"imagemill {command} ")]
    assert found
    return found


@pytest.mark.parametrize(
    ("page", "command"), [("credits.md", "credits"), ("limits.md", "limits"), ("webhooks.md", "webhooks")]
)
def test_what_a_page_shows_works(server: Server, receiver: Receiver, page: str, command: str) -> None:
    for line in shown(page, command):
        output_of(server, *shlex.split(line.replace(HOOK, receiver.url))[1:])


def test_credits_are_given_moved_and_listed(server: Server) -> None:
    assert "bob: +100, now 100 available" in output_of(
        server, "credits", "grant", "bob", "100", "--key", "may"
    )
    assert "now 100 available" in output_of(server, "credits", "grant", "bob", "100", "--key", "may")
    assert "bob:zoe: +20" in output_of(server, "credits", "transfer", "bob", "bob:zoe", "20")
    assert answer(server, "credits", "balance", "--owner", "bob")["available"] == 80
    assert "bob: 80 available, 0 held" in output_of(server, "credits", "balance", "--owner", "bob")
    rows = answer(server, "credits", "statement", "--owner", "bob")["items"]
    assert [(row["kind"], row["available"]) for row in rows] == [("sent", -20), ("grant", 100)]
    assert output_of(server, "credits", "statement", "--owner", "bob", "--csv").count("\n") == 3
    assert "80" in output_of(server, "credits", "statement", "--owner", "bob")
    assert "there is no owner nobody" in refused(server, "credits", "grant", "nobody", "1")
    assert "three decimals" in refused(server, "credits", "grant", "bob", "0.00001")


def test_whoever_is_exempt_pays_nothing_and_the_audit_log_says_who_did_it(server: Server) -> None:
    carl = key(server, "carl")
    headers = {"Authorization": f"Bearer {carl}"}
    assert server.client.post("/v1/consumer/jobs", json=image_job(), headers=headers).status_code == 402
    assert "carl pays nothing" in output_of(
        server, "credits", "account", "carl", "--exempt", "--note", "ours"
    )
    assert "pays nothing" in output_of(server, "credits", "balance", "--owner", "carl")
    assert server.client.post("/v1/consumer/jobs", json=image_job(), headers=headers).status_code == 200
    (entry,) = answer(server, "credits", "account", "carl", "--paying")["entries"]
    assert entry["kind"] == "billed"
    assert server.client.post("/v1/consumer/jobs", json=image_job(), headers=headers).status_code == 402
    lines = server.client.get("/api/v1/audit").json()["items"]
    found = [(line["action"], line["target"], line["detail"]) for line in lines]
    action, target = "PUT /api/v1/credits/accounts/{owner}", "/api/v1/credits/accounts/carl"
    assert found[:2] == [(action, target, "exempt=false"), (action, target, "exempt=true")]
    assert "scope" in refused(server, "credits", "account", "carl", "--exempt", token=carl)


def test_limits_are_set_shown_and_written_down(server: Server) -> None:
    body = answer(server, "limits", "set", "bob", "jobs=20", "requests=none", "cooldown:comfy=5")
    assert body["own"] == {"jobs": 20, "requests": None, "cooldown:comfy": 5}
    text = output_of(server, "limits", "show", "bob")
    assert re.search(r"jobs +20, 0 used \(its own\)", text)
    assert re.search(r"requests +none \(its own\)", text)
    line = server.client.get("/api/v1/audit").json()["items"][0]
    assert (line["action"], line["target"]) == ("PUT /api/v1/limits/{owner}", "/api/v1/limits/bob")
    assert line["detail"] == "jobs=20 requests=none cooldown:comfy=5"
    assert "its own" not in output_of(server, "limits", "set", "bob")
    assert "requests" in output_of(server, "limits", "show", token=key(server, "bob"))
    for wrong, part in (
        ("jobs", "a number or none"),
        ("jobs=-1", "at least 0"),
        ("colour=3", "cooldown:RECIPE"),
    ):
        result = ask(server, "limits", "set", "bob", wrong)
        assert (result.exit_code != 0, part in result.stderr) == (True, True), result.stderr


def test_an_endpoint_is_added_tested_and_its_messages_are_sent_again(
    server: Server, receiver: Receiver
) -> None:
    url, before = f"{receiver.url}/again", len(receiver.got)
    ops = key(server, "ops", Role.OPERATOR)
    assert output_of(server, "webhooks", "list", token=ops).startswith("no endpoints yet")
    text = output_of(server, "webhooks", "create", url, "--event", "job.created", token=ops)
    assert "whsec_" in text
    assert url in output_of(server, "webhooks", "list", token=ops)
    assert "was delivered in" in output_of(server, "webhooks", "test", url, token=ops)
    (sent,) = answer(server, "webhooks", "messages", url, token=ops)["items"]
    assert "sent again" in output_of(server, "webhooks", "resend", url, "--message", sent["id"], token=ops)
    until(lambda: [got.id for got in receiver.got[before:]] == [sent["id"]] * 2)
    receiver.answers.append(410)
    assert "answered 410" in refused(server, "webhooks", "test", url, token=ops)
    assert "paused" in output_of(server, "webhooks", "list", token=ops)
    assert "410" in output_of(server, "webhooks", "messages", url, token=ops)
    assert "is active" in output_of(server, "webhooks", "resume", url, token=ops)
    until(lambda: len(receiver.got) == before + 4)
    since = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    assert "0 messages" in output_of(server, "webhooks", "resend", url, "--since", since, token=ops)
    assert "no such messages" in output_of(server, "webhooks", "messages", url, "--failed", token=ops)
    (endpoint,) = answer(server, "webhooks", "list", token=ops)["items"]
    assert "give either" in refused(server, "webhooks", "resend", endpoint["id"], token=ops)
    assert endpoint["id"] in output_of(server, "webhooks", "delete", endpoint["id"], token=ops)
    assert "none of your endpoints" in refused(server, "webhooks", "delete", url, token=ops)
    assert "there is no webhook" in refused(server, "webhooks", "test", endpoint["id"], token=ops)
