"""`imagemill doctor`: its checks, its findings and its exit status."""

import json
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from imagemill.blobs.local import LocalBlobs
from imagemill.bootstrap import doctor_checks
from imagemill.bootstrap.doctor_checks import NodeCheck
from imagemill.db import migrate
from imagemill.db.engine import inspect_database
from imagemill.domain.errors import StorageError
from imagemill.domain.nodes import Finding, Level
from imagemill.jobs.capacity import NO_SCHEDULER, NO_WORKER
from tests.cli.programs import run


@dataclass(frozen=True)
class Seen:
    kind: str = "postgresql"
    revision: str | None = "0004"
    required_revision: str = "0004"
    clock_ahead_s: float = 0.0
    round_trip_s: float = 0.001
    foreign_tables: tuple[str, ...] = ()
    is_pooled: bool = False


def test_tables_of_another_application_are_an_error_with_the_remedy() -> None:
    finding = database(Seen(revision=None, foreign_tables=("jobs", "users")))["revision"]
    assert finding.level is Level.ERROR
    assert "(jobs, users)" in finding.message
    assert "?schema=imagemill" in finding.message


@pytest.mark.parametrize(("knows_pooler", "levels_"), [(False, ["ok", "warning"]), (True, ["ok"])])
def test_a_pooler_that_the_settings_do_not_name_is_a_warning(knows_pooler: bool, levels_: list[str]) -> None:
    found = doctor_checks.check_database(
        lambda: Seen(is_pooled=True), "postgresql://db", 10.0, knows_pooler=knows_pooler
    )
    assert [each.level.value for each in found if each.subject == "database"] == levels_


def database(seen: Seen) -> dict[str, Finding]:
    return {
        each.subject: each for each in doctor_checks.check_database(lambda: seen, "postgresql://db", 10.0)
    }


def levels(findings: Iterator[Finding]) -> list[str]:
    return [finding.level.value for finding in findings]


def findings_of(text: str) -> Mapping[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for finding in json.loads(text)["findings"]:
        found.setdefault(finding["subject"], []).append(finding)
    return found


@pytest.mark.parametrize(
    ("revision", "level", "remedy"),
    [
        ("0004", Level.OK, "the revision of this version"),
        (None, Level.WARNING, "imagemill migrate"),
        ("0003", Level.WARNING, "imagemill migrate"),
        ("0005", Level.ERROR, "update this machine"),
    ],
)
def test_the_databases_revision_is_checked(revision: str | None, level: Level, remedy: str) -> None:
    finding = database(Seen(revision=revision))["revision"]
    assert finding.level is level
    assert remedy in finding.message


@pytest.mark.parametrize(
    ("ahead_s", "level", "text"),
    [
        (0.01, Level.OK, "ahead of"),
        (-0.7, Level.WARNING, "0.700 s behind"),
        (30, Level.ERROR, "time synchronisation"),
    ],
)
def test_different_clocks_are_a_finding_by_their_effect(ahead_s: float, level: Level, text: str) -> None:
    finding = database(Seen(clock_ahead_s=ahead_s))["clock"]
    assert finding.level is level
    assert text in finding.message


def test_the_clocks_of_one_machine_are_one() -> None:
    assert "clock" not in database(Seen(kind="sqlite"))


def test_a_real_database_is_inspected(empty_database_url: str) -> None:
    assert inspect_database(empty_database_url).revision is None
    migrate.upgrade(empty_database_url)
    seen = inspect_database(empty_database_url)
    assert seen.revision == seen.required_revision
    assert abs(seen.clock_ahead_s) < 1


def test_inspecting_a_database_creates_none(tmp_path: Path) -> None:
    assert inspect_database(f"sqlite:///{tmp_path / 'none.db'}").revision is None
    assert list(tmp_path.iterdir()) == []


def test_the_probe_of_the_blobs_leaves_nothing(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    assert levels(doctor_checks.check_blobs(lambda: blobs, "the folder", "look at its rights")) == ["ok"]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


class Forgetful(LocalBlobs):
    def get(self, key: str) -> bytes:
        return super().get(key)[:-1]


class Refusing(LocalBlobs):
    def put(self, key: str, data: bytes, media_type: str) -> None:
        raise StorageError("the store answered 403")


def test_a_store_that_changes_bytes_is_an_error(tmp_path: Path) -> None:
    assert levels(doctor_checks.check_blobs(lambda: Forgetful(tmp_path), "the bucket x", "ask")) == ["error"]


def test_a_store_that_refuses_is_an_error_with_its_reason(tmp_path: Path) -> None:
    check = lambda: doctor_checks.check_blobs(lambda: Refusing(tmp_path), "the bucket x", "look at its key")  # noqa: E731
    (finding,) = doctor_checks.run_checks([("blobs", check)])
    assert finding.level is Level.ERROR
    assert finding.message == "the bucket x: the store answered 403: look at its key"


def test_one_part_that_fails_does_not_hide_the_next() -> None:
    def fails() -> Iterator[Finding]:
        raise doctor_checks.DoctorCheckFailed("away", "start it")
        yield

    found = list(
        doctor_checks.run_checks(
            [("broker", fails), ("redis", lambda: doctor_checks.check_answer("redis", str))]
        )
    )
    assert [(each.subject, each.level.value) for each in found] == [("broker", "error"), ("redis", "ok")]


@pytest.mark.parametrize(("free", "level"), [(2**20, "error"), (2**30, "warning"), (2**36, "ok")])
def test_little_free_space_is_a_finding(free: int, level: str) -> None:
    assert doctor_checks.check_free_space(Path("data"), free).level.value == level


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (finding,) = doctor_checks.run_checks(
        [("folder", lambda: doctor_checks.check_folder(tmp_path / "file" / "data"))]
    )
    assert finding.level is Level.ERROR
    assert "IMAGEMILL_DATA_DIR" in finding.message


def test_secrets_that_others_can_read_are_a_finding(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir(mode=0o755)
    (tmp_path / "secrets").chmod(stat.S_IRWXU | stat.S_IROTH)
    found = {each.subject: each for each in doctor_checks.check_folder(tmp_path)}
    assert "chmod 700" in found["rights"].message


def test_a_node_that_is_away_is_an_error_only_when_none_is_left() -> None:
    healthy, away = NodeCheck("a", "http://a", version="0.33.0"), NodeCheck("b", "http://b", error="is away")
    assert levels(doctor_checks.check_nodes(lambda: [healthy, away], simulated=True)) == ["ok", "warning"]
    assert levels(doctor_checks.check_nodes(lambda: [away], simulated=True)) == ["error"]
    assert levels(doctor_checks.check_nodes(list, simulated=True)) == ["warning"]


def test_a_fresh_machine_has_no_errors(tmp_path: Path) -> None:
    done = run("doctor", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    found = findings_of(done.stdout)
    assert set(found) == {"settings", "folder", "database", "revision", "blobs", "nodes"}
    assert not (tmp_path / "imagemill-data" / "imagemill.db").exists()


def test_what_cannot_be_reached_is_an_error_with_a_remedy_and_no_password(tmp_path: Path) -> None:
    done = run(
        "doctor",
        "--json",
        cwd=tmp_path,
        DATABASE_URL="postgresql://mill:hidden@127.0.0.1:1/mill",
        CELERY_BROKER_URL="redis://:hidden@127.0.0.1:1/0",
        COMFYUI_URL="http://127.0.0.1:1",
    )
    assert done.returncode == 1
    assert "hidden" not in done.stdout + done.stderr
    found = findings_of(done.stdout)
    for part in ("database", "broker", "redis", "nodes"):
        assert "error" in [each["level"] for each in found[part]]
    assert "IMAGEMILL_BROKER_URL" in found["broker"][0]["message"]


@pytest.mark.parametrize(
    ("keys", "warned"),
    [((), []), (("ops", "local"), []), (("ops",), ["local"])],
    ids=["none", "own", "other"],
)
def test_an_owner_of_celery_tasks_without_a_key_is_a_warning(keys: Sequence[str], warned: list[str]) -> None:
    found = list(doctor_checks.check_task_keys(keys, ["local"]))
    assert [each.level for each in found] == [Level.WARNING] * len(warned)
    for owner, finding in zip(warned, found, strict=True):
        assert f"imagemill keys create --owner {owner}" in finding.message


def test_keys_are_compared_with_the_owner_of_the_library_where_a_broker_is_set(tmp_path: Path) -> None:
    variables = {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    assert run("keys", "create", "--owner", "ops", "--create", cwd=tmp_path).returncode == 0
    found = lambda **more: findings_of(  # noqa: E731
        run("doctor", "--json", "--only", "keys", cwd=tmp_path, **variables, **more).stdout
    )
    assert "--owner local" in found()["keys"][0]["message"]
    assert "--owner shop" in found(IMAGEMILL_LIBRARY__OWNER="shop")["keys"][0]["message"]
    assert found(IMAGEMILL_LIBRARY__OWNER="ops") == {}
    assert found(IMAGEMILL_OWNER="ops") == {}


def test_unknown_names_are_found_wherever_they_are_written(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("IMAGEMILL_DATADIR=x\n")
    (tmp_path / "imagemill.toml").write_text("prot = 8701\n")
    done = run("doctor", "--json", "--only", "settings", cwd=tmp_path, IMAGEMILL_POTR="1")
    text = " ".join(each["message"] for each in findings_of(done.stdout)["settings"])
    for name in ("IMAGEMILL_DATADIR", "IMAGEMILL_PROT", "IMAGEMILL_POTR"):
        assert f"{name} is not a setting" in text


def test_settings_that_cannot_be_read_are_an_error_that_shows_no_key(tmp_path: Path) -> None:
    done = run("doctor", cwd=tmp_path, IMAGEMILL_URL_SIGNING_KEY="much-too-short", IMAGEMILL_PORT="x")
    assert done.returncode == 1
    assert "IMAGEMILL_URL_SIGNING_KEY" in done.stdout
    assert "IMAGEMILL_PORT" in done.stdout
    assert "much-too-short" not in done.stdout + done.stderr


def test_an_unknown_part_is_named(tmp_path: Path) -> None:
    done = run("doctor", "--only", "weather", cwd=tmp_path)
    assert done.returncode == 2
    assert "weather" in done.stderr
    assert "broker" in done.stderr


@pytest.mark.parametrize(
    ("roles", "warnings"),
    [
        ([], []),
        ([("api", "scheduler", "worker")], []),
        ([("api",), ("scheduler",), ("worker",)], []),
        ([("api",), ("scheduler",)], [NO_WORKER]),
        ([("api",), ("worker",)], [NO_SCHEDULER]),
    ],
)
def test_running_processes_without_a_worker_or_a_scheduler_are_a_finding(
    roles: list[tuple[str, ...]], warnings: list[str]
) -> None:
    found = list(doctor_checks.check_processes(roles))
    assert [each.message for each in found if each.level is Level.WARNING] == warnings
    assert found[-1].level is Level.OK
