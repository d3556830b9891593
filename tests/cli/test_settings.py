"""Settings: their files, their names, and what is said about wrong ones."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from imagemill.cli import settings_reference
from imagemill.cli.app import app
from imagemill.config import ALIASES, Settings, format_errors, setting_names, unknown_variables
from tests.cli.programs import run

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [*(name for name, _ in setting_names()), *ALIASES]:
        monkeypatch.delenv(name, raising=False)


def test_the_env_example_is_up_to_date() -> None:
    """Else: imagemill settings --env > .env.example"""
    assert (ROOT / ".env.example").read_text() == settings_reference.env_file()


def test_the_page_of_the_documentation_is_up_to_date() -> None:
    """Else: imagemill settings --markdown > docs/settings.md"""
    assert (ROOT / "docs" / "settings.md").read_text() == settings_reference.markdown()


def test_every_setting_is_described() -> None:
    assert [each.name for each in settings_reference.described() if not each.purpose] == []


def test_the_env_example_uncommented_is_the_default(tmp_path: Path) -> None:
    lines = settings_reference.env_file().splitlines()
    (tmp_path / ".env").write_text("\n".join(line[1:] for line in lines if line.startswith("#IMAGEMILL_")))
    read = Settings()
    assert read == Settings(_env_file=None)
    assert len(read.model_fields_set) > 10


def test_lists_are_comma_separated_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_ALLOWED_HOSTS", "mill.example, localhost")
    monkeypatch.setenv("IMAGEMILL_CALLBACK__ALLOW_NETWORKS", "10.0.0.0/8")
    monkeypatch.setenv("IMAGEMILL_SIMULATOR__LABELS", '["a", "b"]')
    settings = Settings()
    assert settings.allowed_hosts == ("mill.example", "localhost")
    assert [str(network) for network in settings.allow_networks] == ["10.0.0.0/8"]
    assert settings.simulator.labels == ("a", "b")


def test_an_empty_value_is_the_default_and_none_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_PORT", "")
    monkeypatch.setenv("IMAGEMILL_SIMULATOR__MEMORY_MB", "none")
    settings = Settings()
    assert settings.port == 8700
    assert settings.simulator.memory_mb is None


def test_the_order_is_argument_environment_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "imagemill.toml").write_text("port = 1\nsweep_s = 1.5\n[job]\nlease_s = 9\n")
    assert (Settings().port, Settings().job.lease_s) == (1, 9)
    (tmp_path / ".env").write_text("IMAGEMILL_PORT=2\n")
    assert Settings().port == 2
    monkeypatch.setenv("PORT", "3")
    monkeypatch.setenv("IMAGEMILL_SWEEP_S", "2.5")
    monkeypatch.setenv("IMAGEMILL_PORT", "4")
    assert (Settings().port, Settings().sweep_s) == (4, 2.5)
    assert Settings(port=5).port == 5


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("PORT", "many", "IMAGEMILL_PORT (or PORT): Input should be a valid integer"),
        ("IMAGEMILL_JOB__LEASE_S", "0", "IMAGEMILL_JOB__LEASE_S: Input should be greater than or equal to 1"),
        ("IMAGEMILL_JOB__LEASES", "1", "IMAGEMILL_JOB__LEASES is not a setting; did you mean"),
        ("IMAGEMILL_SIMULATOR__FAULTS", '[{"fault":', "IMAGEMILL_SIMULATOR__FAULTS: Input should be"),
        (
            "DATABASE_URL",
            "mysql://mill@host/x",
            "IMAGEMILL_DATABASE_URL (or DATABASE_URL): Value error, should",
        ),
        ("IMAGEMILL_ALLOW_NETWORKS", "home", "IMAGEMILL_ALLOW_NETWORKS__0"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert any(line.startswith(part) for line in format_errors(caught.value)), format_errors(caught.value)


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://mill:a-secret@host/x")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "'mysql://***@host/x'" in format_errors(caught.value)[0]


def test_a_misspelt_variable_is_noticed() -> None:
    assert unknown_variables(["IMAGEMILL_PROT", "IMAGEMILL_URL", "IMAGEMILL_JOB", "HOME"]) == [
        "IMAGEMILL_PROT is not a setting; did you mean IMAGEMILL_PORT?"
    ]


def test_wrong_settings_end_a_command_with_a_line_each_and_no_traceback(tmp_path: Path) -> None:
    done = run("serve", cwd=tmp_path, PORT="abc", IMAGEMILL_JOB__LEASE_S="soon")
    assert done.returncode == 2
    assert [line.split(":")[0].strip() for line in done.stderr.splitlines()] == [
        "error",
        "IMAGEMILL_PORT (or PORT)",
        "IMAGEMILL_JOB__LEASE_S",
    ]


def test_a_broken_toml_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "imagemill.toml").write_text("port = \n")
    done = run("migrate", cwd=tmp_path)
    assert done.returncode == 2
    assert "imagemill.toml is not TOML" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_settings_that_hold_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_PORT", "9001")
    lines = CliRunner().invoke(app, ["settings"]).output.splitlines()
    assert "IMAGEMILL_PORT=9001    (default: 8700)" in lines
    assert "IMAGEMILL_HOST=127.0.0.1" in lines
    assert '"port": 9001' in CliRunner().invoke(app, ["settings", "--json"]).output
