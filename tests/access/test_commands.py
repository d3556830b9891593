"""``imagemill keys`` and ``users``, and servers that others can reach."""

import json
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner, Result

from imagemill.cli.app import app
from tests.access.support import ADMIN_KEY, PASSWORD, bearer
from tests.cli.programs import run, running


def ask(folder: Path, *arguments: str, **options: Any) -> Result:
    create = ["--create"] if "create" in arguments else []
    return CliRunner().invoke(app, [*arguments, *create, "--data-dir", str(folder)], **options)


def answer(folder: Path, *arguments: str, **options: Any) -> Any:
    result = ask(folder, *arguments, "--json", **options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_keys_are_made_listed_and_revoked_without_a_server(tmp_path: Path) -> None:
    first = ask(tmp_path, "keys", "create", "--owner", "ops", "--role", "admin")
    assert first.exit_code == 0, first.output
    text = first.stdout.splitlines()[0]
    assert text.startswith("im_")
    assert "This is the first key" in first.stdout
    narrow = answer(tmp_path, "keys", "create", "--owner", "app", "--service", "--scope", "jobs:read")
    assert narrow["scopes"] == ["jobs:read"]
    rows = answer(tmp_path, "keys", "list")["items"]
    assert {(row["owner"], row["state"], row["service"]) for row in rows} == {
        ("ops", "valid", False),
        ("app", "valid", True),
    }
    assert text not in json.dumps(rows)
    assert ask(tmp_path, "keys", "revoke", narrow["id"]).exit_code == 0
    assert "revoked" in ask(tmp_path, "keys", "list", "--owner", "app").stdout
    lines = answer(tmp_path, "users", "audit")["items"]
    assert [line["action"] for line in lines] == ["keys revoke", "keys create", "keys create"]


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (["keys", "create", "--owner", "Ops"], "write 1 to 24 of a-z"),
        (["keys", "create", "--owner", "ops", "--role", "king"], "user, viewer, operator or admin"),
        (["keys", "create", "--owner", "ops", "--scope", "all"], "is not a scope; one of"),
        (["keys", "create", "--owner", "ops", "--scope", "admin"], "beyond ops, whose role is user"),
        (["keys", "revoke", "abc"], "there is no key abc"),
        (["users", "disable", "nobody"], "there is no owner nobody"),
        (["users", "role", "nobody", "king"], "user, viewer, operator or admin"),
        (["users", "create", "ann"], "is not an e-mail address"),
    ],
)
def test_an_error_is_one_line(tmp_path: Path, command: list[str], part: str) -> None:
    assert CliRunner().invoke(app, ["migrate", "--create", "--data-dir", str(tmp_path)]).exit_code == 0
    result = ask(tmp_path, *command)
    assert result.exit_code != 0
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("database: ")]
    assert line.startswith("error: ")
    assert part in line


def test_a_key_changes_no_role_in_passing(tmp_path: Path) -> None:
    ask(tmp_path, "keys", "create", "--owner", "ops")
    result = ask(tmp_path, "keys", "create", "--owner", "ops", "--role", "admin")
    assert result.exit_code == 1
    assert "imagemill users role ops admin" in result.stderr
    assert ask(tmp_path, "users", "role", "ops", "admin").exit_code == 0
    assert "admin" in answer(tmp_path, "keys", "create", "--owner", "ops", "--role", "admin")["scopes"]


def test_users_are_made_changed_and_listed(tmp_path: Path) -> None:
    env = {"IMAGEMILL_AUTH__PASSWORD_MEMORY_MB": "8", "SECRET": PASSWORD}
    made = answer(
        tmp_path, "users", "create", "Ann@example.org", "--owner", "ann", "--password", "env:SECRET", env=env
    )
    assert made == {"owner": "ann", "email": "ann@example.org", "role": "user"}
    for command in (["weight", "ann", "2.5"], ["disable", "ann"]):
        assert ask(tmp_path, "users", *command).exit_code == 0
    (row,) = answer(tmp_path, "users", "list")["items"]
    assert (row["weight"], row["email"], bool(row["disabled"])) == (2.5, "ann@example.org", True)
    assert ask(tmp_path, "users", "enable", "ann").exit_code == 0
    assert ask(tmp_path, "users", "password", "ann", "--password", "env:SECRET", env=env).exit_code == 0
    assert answer(tmp_path, "users", "list")["items"][0]["disabled"] == ""


def test_every_change_of_an_account_is_json_on_request(tmp_path: Path) -> None:
    env = {"IMAGEMILL_AUTH__PASSWORD_MEMORY_MB": "8", "SECRET": PASSWORD}
    ann = ["ann@example.org", "--owner", "ann", "--password", "env:SECRET"]
    answer(tmp_path, "users", "create", *ann, env=env)

    weighed = answer(tmp_path, "users", "weight", "ann", "2.5")
    assert (weighed["owner"], weighed["email"], weighed["weight"]) == ("ann", "ann@example.org", 2.5)
    assert answer(tmp_path, "users", "role", "ann", "operator")["role"] == "operator"
    assert answer(tmp_path, "users", "disable", "ann")["disabled"].startswith("20")
    assert answer(tmp_path, "users", "enable", "ann") == answer(tmp_path, "users", "list")["items"][0]
    changed = answer(tmp_path, "users", "password", "ann", "--password", "env:SECRET", env=env)
    assert changed == {"owner": "ann", "sessionsEnded": True}
    for command in (["disable", "bob"], ["role", "ann", "king"], ["weight", "bob", "2"]):
        refused = ask(tmp_path, "users", *command, "--json")
        assert (refused.exit_code != 0, bool(json.loads(refused.stdout)["error"])) == (True, True)


@pytest.mark.parametrize(
    "command", ["create", "password", "list", "disable", "enable", "role", "weight", "audit"]
)
def test_users_commands_have_json(command: str) -> None:
    shown = CliRunner().invoke(app, ["users", command, "--help"])
    assert "--json" in shown.output


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_server_others_reach_does_not_start_without_a_key(tmp_path: Path, host: str) -> None:
    done = run("serve", "--host", host, "--port", "0", cwd=tmp_path)
    assert done.returncode == 2
    for part in ("imagemill keys create --owner ops --role admin", "IMAGEMILL_AUTH__ADMIN_KEY", "ssh -L"):
        assert part in done.stderr
    assert not (tmp_path / "imagemill-data").exists()


def test_with_a_key_it_listens_and_asks_for_it(tmp_path: Path) -> None:
    text = json.loads(
        run("keys", "create", "--owner", "ops", "--role", "admin", "--json", "--create", cwd=tmp_path).stdout
    )["key"]
    with running("serve", "--host", "0.0.0.0", "--port", "0", cwd=tmp_path) as program:
        assert program.url.startswith("http://0.0.0.0:")
        url = program.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx2.get(f"{url}/api/v1/jobs", trust_env=False, verify=False).status_code == 401
        assert httpx2.get(f"{program.url}/health", trust_env=False, verify=False).status_code == 200
        assert (
            httpx2.get(f"{url}/api/v1/jobs", headers=bearer(text), trust_env=False, verify=False).status_code
            == 200
        )
        shown = run("health", "--url", url, cwd=tmp_path)
        assert shown.returncode == 0, shown.stdout
        assert "IMAGEMILL_TOKEN" in shown.stdout


def test_reload_refuses_as_well(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    done = run("api", "--reload", "--host", "0.0.0.0", "--port", port, cwd=tmp_path)
    assert done.returncode == 2
    assert "imagemill keys create" in done.stderr


def test_an_administrators_key_of_the_settings_is_enough(tmp_path: Path) -> None:
    settings = {"IMAGEMILL_AUTH__ADMIN_KEY": ADMIN_KEY}
    with running("api", "--host", "::", "--port", "0", cwd=tmp_path, **settings) as program:
        url = program.url.replace("[::]", "127.0.0.1")
        assert (
            httpx2.get(
                f"{url}/api/v1/audit", headers=bearer(ADMIN_KEY), trust_env=False, verify=False
            ).status_code
            == 200
        )


def test_a_name_is_no_address_to_listen_on(tmp_path: Path) -> None:
    done = run("serve", "--host", "mill.example", cwd=tmp_path)
    assert done.returncode == 2
    assert "is not an IP address" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["keys", "create", "--owner", "ops"],
        ["keys", "list"],
        ["users", "list"],
        ["users", "create", "ann@example.org", "--password", "env:SECRET"],
        ["migrate"],
    ],
)
def test_a_command_in_another_folder_makes_no_database(tmp_path: Path, command: list[str]) -> None:
    folder = tmp_path / "elsewhere"
    arguments = [*command, "--data-dir", str(folder)]
    result = CliRunner().invoke(app, arguments, env={"SECRET": "correct horse battery 9"})
    assert result.exit_code == 2
    assert f"there is no database at {folder / 'imagemill.db'}" in result.stderr
    assert "--data-dir" in result.stderr
    assert not folder.exists()


def test_commands_print_the_address_of_the_database_without_its_password(tmp_path: Path) -> None:
    made = CliRunner().invoke(app, ["migrate", "--create", "--data-dir", str(tmp_path)])
    assert made.exit_code == 0, made.output
    listed = CliRunner().invoke(app, ["keys", "list", "--json", "--data-dir", str(tmp_path)])
    assert f"database: SQLite, {tmp_path / 'imagemill.db'}" in listed.stderr
    assert json.loads(listed.stdout) == {"items": []}
    env = {"IMAGEMILL_DATABASE_URL": "postgresql://mill:a-secret@127.0.0.1:1/mill"}
    refused = CliRunner().invoke(app, ["keys", "list"], env=env)
    assert "database: postgresql://mill:***@127.0.0.1:1/mill" in refused.stderr
    assert "a-secret" not in refused.output
