"""The systemd units: their commands exist, they stop gracefully, and they may do little."""

import configparser
import re
from pathlib import Path

import pytest
import typer

from imagemill.cli.app import app
from imagemill.config import setting_names
from tests.deploy import compose

FOLDER = compose.FOLDER / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
HARDENED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "CapabilityBoundingSet": "",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
}


class _Unit(configparser.RawConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr


def service(path: Path) -> dict[str, str]:
    """Of a key given several times the last one counts here."""
    unit = _Unit(strict=False)
    unit.read(path, encoding="utf-8")
    return dict(unit["Service"])


def each_unit() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)


def test_there_is_a_unit_for_each_role() -> None:
    roles = ("api", "generator", "scheduler", "worker@")
    assert [path.stem for path in UNITS] == [f"imagemill-{role}" for role in roles]


@each_unit()
def test_the_command_exists(path: Path) -> None:
    program, command, *options = service(path)["ExecStart"].split()
    assert program == "/opt/imagemill/bin/imagemill"
    known = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    given = {option for parameter in known.params for option in parameter.opts}
    assert {option for option in options if option.startswith("--")} <= given


@each_unit()
def test_a_stop_is_graceful(path: Path) -> None:
    found = service(path)
    assert found["TimeoutStopSec"] == "120"
    assert found["KillMode"] == "mixed"
    grace = re.search(r"^Environment=IMAGEMILL_SHUTDOWN_GRACE_S=(\d+)$", path.read_text(), re.MULTILINE)
    assert grace is not None
    assert 60 <= int(grace[1]) < 120


@each_unit()
def test_it_may_do_little(path: Path) -> None:
    found = service(path)
    assert found["User"] == "imagemill"
    assert {key: found.get(key) for key in HARDENED} == HARDENED
    assert found["StateDirectoryMode"] == "0700"


@each_unit()
def test_it_holds_settings_and_no_secret(path: Path) -> None:
    known = {name for name, _ in setting_names()}
    given = set(re.findall(r"\b(IMAGEMILL_\w+)=", path.read_text(encoding="utf-8")))
    assert given <= known
    assert not {name for name in given if re.search("KEY|TOKEN|SECRET|URL", name)}


@pytest.mark.parametrize("name", ["gpu", "render"])
def test_a_worker_has_the_queues_it_has_in_compose(name: str) -> None:
    path = FOLDER / "imagemill-worker@.service"
    text = path.read_text(encoding="utf-8")
    assert service(path)["ExecStart"].endswith(" worker --queues ${QUEUES}")
    # systemd reads files after Environment=, and they go before it.
    assert "\nEnvironment=QUEUES=%i\nEnvironmentFile=-/etc/imagemill/worker-%i.env\n" in text
    lines = (FOLDER / f"worker-{name}.env").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert given == {"QUEUES": compose.raw()["services"][f"worker-{name}"]["command"][-1]}
