"""Settings: their sources, names and profiles, what is said about wrong ones, and that no secret is shown."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError
from typer.testing import CliRunner, Result

from imagemill.bootstrap import settings_reference
from imagemill.bootstrap.settings_check import format_errors, given_names, unknown_variables
from imagemill.cli.app import app
from imagemill.config import PROFILES, Settings, setting_names
from imagemill.setting_names import ALIASES, FIXED, PREFIX
from imagemill.settings import SecretUrl, SettingsGroup, mask_url
from tests.cli.programs import run

ROOT = Path(__file__).parents[2]
FORMER = [name for name in ALIASES if name.startswith(PREFIX)]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [*(name for name, _ in setting_names()), *ALIASES, *FIXED]:
        monkeypatch.delenv(name, raising=False)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["settings", *arguments])


def value_of(settings: BaseModel, name: str) -> Any:
    found: Any = settings
    for part in name.removeprefix(PREFIX).lower().split("__"):
        found = getattr(found, part)
    return found


# The written pages


def test_there_are_at_most_210_settings() -> None:
    assert len(list(setting_names())) <= 210


def test_the_env_example_is_short_and_shows_the_first_page_with_its_defaults() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    shown = [line[1:] for line in lines if line.startswith(f"#{PREFIX}")]
    every = {each.name: each for each in settings_reference.described()}
    assert len(lines) <= 40
    assert [line.partition("=")[0] for line in shown] == [PREFIX + n for n in settings_reference.FIRST_PAGE]
    assert shown == [f"{name}={every[name].default}" for name in (line.partition("=")[0] for line in shown)]


def test_the_page_of_the_documentation_is_up_to_date() -> None:
    """Else: imagemill settings --markdown > docs/settings.md"""
    assert (ROOT / "docs" / "settings.md").read_text() == settings_reference.markdown()


def test_every_setting_is_on_the_page_once() -> None:
    page = settings_reference.markdown().partition("## Former settings")[0]
    rows = re.findall(r"^\| `(IMAGEMILL_\w+)`", page, re.MULTILINE)
    assert sorted(rows) == sorted(name for name, _ in setting_names())
    known = {name.removeprefix(PREFIX) for name, _ in setting_names()}
    assert known >= {*settings_reference.FIRST_PAGE, *settings_reference.EXPERT}


def test_every_setting_is_described_by_a_sentence() -> None:
    for each in settings_reference.described():
        assert each.purpose.endswith((".", "...")), each.name
        assert not re.match(r"(Of|What|Whose|Who|As|See) ", each.purpose), each.name


def test_the_env_file_uncommented_is_the_default(tmp_path: Path) -> None:
    lines = settings_reference.env_file().splitlines()
    (tmp_path / ".env").write_text("\n".join(line[1:] for line in lines if line.startswith("#IMAGEMILL_")))
    read = Settings()
    assert read == Settings(_env_file=None)
    assert len(read.model_fields_set) > 10


# Values


def test_lists_are_comma_separated_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_ALLOWED_HOSTS", "mill.example, localhost")
    monkeypatch.setenv("IMAGEMILL_CALLBACK__ALLOW_NETWORKS", "10.0.0.0/8")
    monkeypatch.setenv("IMAGEMILL_SIMULATOR__LABELS", '["a", "b"]')
    monkeypatch.setenv("IMAGEMILL_SIMULATOR__MODELS", "")
    settings = Settings()
    assert settings.allowed_hosts == ("mill.example", "localhost")
    assert [str(network) for network in settings.allow_networks] == ["10.0.0.0/8"]
    assert settings.simulator.labels == ("a", "b")
    assert settings.simulator.models == ()


def test_a_setting_with_several_fields_is_json_or_a_variable_a_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_LIBRARY__PICTURE", '{"width": 64, "steps": 4}')
    monkeypatch.setenv("IMAGEMILL_QUOTA__END_USER__JOBS_IN_FLIGHT", "5")
    monkeypatch.setenv("IMAGEMILL_QUOTA__END_USER__COOLDOWN_S", '{"scene": 30}')
    settings = Settings()
    assert (settings.library.picture.width, settings.library.picture.steps) == (64, 4)
    assert settings.quota.end_user.jobs_in_flight == 5
    assert settings.quota.end_user.cooldown_s == {"scene": 30}
    assert unknown_variables(["IMAGEMILL_QUOTA__END_USER__JOBS_IN_FLIGHT"]) == []


def test_a_group_may_be_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_JOB", '{"lease_s": 9}')
    monkeypatch.setenv("IMAGEMILL_JOB__MAX_FAILURES", "3")
    assert (Settings().job.lease_s, Settings().job.max_failures) == (9, 3)
    assert "IMAGEMILL_JOB__LEASE_S=9    (environment, as IMAGEMILL_JOB; default: 30)" in invoke().output


def test_an_empty_value_is_the_default_and_none_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_PORT", "")
    monkeypatch.setenv("IMAGEMILL_SIMULATOR__MEMORY_MB", "none")
    settings = Settings()
    assert settings.port == 8700
    assert settings.simulator.memory_mb is None


def test_the_order_is_argument_environment_files_profile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMAGEMILL_PROFILE", "ci")
    assert (Settings().sweep_s, Settings().job.heartbeat_s) == (0.2, 0.2)
    (tmp_path / "imagemill.toml").write_text("port = 1\nsweep_s = 1.5\n[job]\nlease_s = 9\n")
    assert (Settings().port, Settings().job.lease_s, Settings().job.heartbeat_s) == (1, 9, 0.2)
    assert Settings().sweep_s == 1.5
    (tmp_path / ".env").write_text("IMAGEMILL_PORT=2\n")
    assert Settings().port == 2
    monkeypatch.setenv("PORT", "3")
    monkeypatch.setenv("IMAGEMILL_SWEEP_S", "2.5")
    monkeypatch.setenv("IMAGEMILL_PORT", "4")
    assert (Settings().port, Settings().sweep_s) == (4, 2.5)
    assert Settings(port=5).port == 5


# Former names


OTHER_VALUES = {
    "NETWORKS": "10.0.0.0/8",
    "PREVIEWS": "false",
    "COOLDOWN_S": '{"scene": 30}',
    "JOBS_PER_DAY": '{"scene": 9}',
    "SCORES": "true",
    "FULL_SYNC": "false",
    "FACES": "false",
    "SAMPLER": "euler",
    "SCHEDULER": "simple",
    "DENOISE": "0.5",
    "WIDTH": "64",
    "HEIGHT": "64",
}


@pytest.mark.parametrize("name", FORMER)
def test_a_former_name_sets_what_it_was_merged_into(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the environment, and as TOML."""
    value = next((text for part, text in OTHER_VALUES.items() if name.endswith(part)), "29")
    monkeypatch.delenv(ALIASES[name], raising=False)
    before = value_of(Settings(), ALIASES[name])
    monkeypatch.setenv(name, value)
    by_environment = value_of(Settings(), ALIASES[name])
    assert by_environment != before
    assert unknown_variables([name]) == []
    monkeypatch.delenv(name)
    group, _, last = name.removeprefix(PREFIX).lower().rpartition("__")
    text = value if value[0].isdigit() and "/" not in value else json.dumps(value)
    text = value.replace(":", " =") if value.startswith("{") else text
    text = f'["{value}"]' if "/" in value else text
    heading = f"[{group}]\n" if group else ""
    (tmp_path / "imagemill.toml").write_text(f"{heading}{last} = {text}\n")
    assert value_of(Settings(), ALIASES[name]) == by_environment
    monkeypatch.setenv(name, "")
    assert value_of(Settings(), ALIASES[name]) == by_environment


@pytest.mark.parametrize("name", FIXED)
def test_a_former_setting_that_is_a_constant_is_accepted_with_a_warning(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    default = Settings()
    monkeypatch.setenv(name, "77")
    assert Settings() == default
    monkeypatch.delenv(name)
    (tmp_path / ".env").write_text(f"{name}=77\n")
    assert Settings() == default
    warning = f"{name} is ignored: it is no setting any more, its value is always {FIXED[name]}"
    assert " ".join(invoke().stderr.split()).count(warning) == 1
    (tmp_path / ".env").unlink()
    group, _, last = name.removeprefix(PREFIX).lower().rpartition("__")
    (tmp_path / "imagemill.toml").write_text(f"[{group}]\n{last} = 77\n")
    assert Settings() == default
    assert unknown_variables(given_names()["imagemill.toml"]) == [warning]
    assert f"always {FIXED[name]}" in " ".join(invoke("explain", name).stderr.split())


def test_a_setting_s_own_name_goes_before_its_former_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMAGEMILL_CALLBACK__TRIES", "3")
    monkeypatch.setenv("IMAGEMILL_WEBHOOK__TRIES", "4")
    assert Settings().webhook.tries == 4
    monkeypatch.delenv("IMAGEMILL_WEBHOOK__TRIES")
    (tmp_path / "imagemill.toml").write_text("[webhook]\ntries = 5\n")
    assert Settings().webhook.tries == 3


# Wrong settings


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("PORT", "many", "IMAGEMILL_PORT (or PORT): Input should be a valid integer"),
        ("IMAGEMILL_JOB__LEASE_S", "0", "IMAGEMILL_JOB__LEASE_S: Input should be greater than or equal to 1"),
        ("IMAGEMILL_JOB__LEASES", "1", "IMAGEMILL_JOB__LEASES is not a setting; did you mean"),
        ("IMAGEMILL_SIMULATOR__FAULTS", '[{"fault":', "IMAGEMILL_SIMULATOR__FAULTS: Input should be"),
        ("IMAGEMILL_QUOTA__END_USER", '{"jobs":', "IMAGEMILL_QUOTA__END_USER: Input should be"),
        ("IMAGEMILL_CREDITS__BACKENDS", "comfyui=1", "IMAGEMILL_CREDITS__BACKENDS: Input should be"),
        (
            "DATABASE_URL",
            "mysql://mill@host/x",
            "IMAGEMILL_DATABASE_URL (or DATABASE_URL): should",
        ),
        ("IMAGEMILL_ALLOW_NETWORKS", "home", "IMAGEMILL_ALLOW_NETWORKS__0"),
        ("IMAGEMILL_FAL_API__HOSTS", "127.0.0.1", "IMAGEMILL_FAL_API__HOSTS: nothing but fal's API"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert any(line.startswith(part) for line in format_errors(caught.value)), format_errors(caught.value)


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
    for command in (("migrate",), ("settings",)):
        done = run(*command, cwd=tmp_path)
        assert done.returncode == 2
        assert "imagemill.toml is not TOML" in done.stderr
        assert "Traceback" not in done.stderr


# Secrets

URLS = ("DATABASE_URL", "DATABASE_DIRECT_URL", "BROKER_URL", "REDIS_URL", "CELERY__RESULT_URL")
CREDENTIALS = (
    "mill:hush-hush@",
    ":hush-hush@",
    "mill:hush%40hush-hush@",
    "hush-hush@",
    "mill:a/hush-hush?b#@",
)


@pytest.mark.parametrize("credentials", CREDENTIALS)
@pytest.mark.parametrize("name", URLS)
def test_no_password_in_a_url_is_shown(name: str, credentials: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scheme = "postgresql" if "DATABASE" in name else "redis"
    monkeypatch.setenv(PREFIX + name, f"{scheme}://{credentials}host.example:6379/0?password=hush-hush&a=b")
    settings = Settings()
    shown = [repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json()]
    shown += [invoke(*options).output for options in ((), ("--all",), ("--json",), ("explain", "URL"))]
    shown += [invoke("explain", name, "--json").output]
    for text in shown:
        assert "hush-hush" not in text
        assert "hush%40" not in text
    assert f"{PREFIX}{name}={scheme}://" in shown[4]
    assert "host.example:6379/0" in shown[4]


@pytest.mark.parametrize("name", ["IMAGEMILL_BROKER_URL", "IMAGEMILL_REDIS_URL"])
def test_a_password_with_an_at_sign_is_hidden_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "redis://:hush@hush-hush@host.example/0")
    for options in ((), ("--all",), ("--json",)):
        assert "hush" not in invoke(*options).output
        assert "host.example" in invoke(*options).output


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://user:pw@host/0", "redis://user:***@host/0"),
        ("redis://:p@ss@host/0", "redis://***@host/0"),
        ("amqp://token@host", "amqp://***@host"),
        (
            "postgresql:///db?user=u&password=p%40&sslmode=require",
            "postgresql:///db?user=u&password=***&sslmode=require",
        ),
        ("sqlite:///a@b/c.db", "sqlite:///a@b/c.db"),
        ("no url", "no url"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert mask_url(url) == shown
    assert str(SecretUrl(url)) == shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://mill:hush@host/x"),
        ("DATABASE_URL", "postgresql://mill:pw@hush@host/x"),
        ("IMAGEMILL_BROKER_URL", "http://:hush@host"),
        ("IMAGEMILL_AUTH__ADMIN_KEY", "hush"),
        ("IMAGEMILL_AUTH__JWT_FORMER_KEYS", '{"hush": 1}'),
        ("IMAGEMILL_AUTH", '{"admin_key": "hush"}'),
        ("IMAGEMILL_AUTH", '["hush"]'),
        ("IMAGEMILL_LLM", '{"base_url": "http://hush", "api_key": "hush"}'),
        ("IMAGEMILL_COMFYUI__URLS", "ftp://me:hush@host"),
        ("IMAGEMILL_OTEL__HEADERS", "hush"),
        ("IMAGEMILL_S3__ENDPOINT", "https://me:hush@host"),
    ],
)
def test_no_secret_is_in_a_message(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "hush" not in str(caught.value)
    assert "hush" not in "\n".join(format_errors(caught.value))
    assert "hush" not in invoke().output


def test_what_looks_like_a_secret_is_of_a_secret_type() -> None:
    """A setting is hidden by its type, never by its name."""
    harmless = {"IMAGEMILL_S3__ACCESS_KEY_ID", "IMAGEMILL_PUBLIC_URL", "IMAGEMILL_MAIL__RESET_URL"}
    harmless |= {
        "IMAGEMILL_COMFYUI__URLS",
        "IMAGEMILL_CHARACTERS__PUBLIC_BASE_URL",
        "IMAGEMILL_LLM__BASE_URL",
        "IMAGEMILL_LANGUAGE_MODEL__BASE_URL",
    }
    named = re.compile(r"(KEY|KEYS|SECRET|TOKEN|PASSWORD|HEADERS|URL|URLS|KEY_ID)$|SECRET")
    for name, field in setting_names():
        if named.search(name) and name not in harmless:
            assert "Secret" in str(field.annotation), name


def test_secrets_are_hidden_in_every_view(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [name for name, field in setting_names() if SecretStr.__name__ in str(field.annotation)]
    assert len(secrets) >= 10
    for name in secrets:
        monkeypatch.setenv(name, "a=hush-hush-hush-hush-hush-hush-hush-hush")
    for options in ((), ("--all",), ("--json",), ("explain", "KEY"), ("explain", "KEY", "--json")):
        result = invoke(*options)
        assert result.exit_code == 0, result.output
        assert "hush" not in result.output
        assert "**********" in result.output


# The command


def test_only_what_differs_is_shown_with_its_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert invoke().output.splitlines()[0] == "No setting differs from the defaults."
    monkeypatch.setenv("PORT", "9001")
    monkeypatch.setenv("IMAGEMILL_HOST", "127.0.0.1")
    monkeypatch.setenv("IMAGEMILL_CHARACTERS__STEPS", "20")
    (tmp_path / ".env").write_text("IMAGEMILL_JOB__LEASE_S=31\nPORT=1\n")
    (tmp_path / "imagemill.toml").write_text("[job]\nlease_s = 40\nlife_s = 50\n")
    lines = invoke("--profile", "dev").output.splitlines()
    assert lines[:4] == [
        "IMAGEMILL_PROFILE=dev    (option --profile; default: none)",
        "IMAGEMILL_PORT=9001    (environment, as PORT; default: 8700)",
        "IMAGEMILL_SHUTDOWN_GRACE_S=2    (profile dev; default: 30)",
        "IMAGEMILL_ALLOW_NETWORKS=127.0.0.0/8,::1/128    (profile dev; default: none)",
    ]
    assert "IMAGEMILL_JOB__LIFE_S=50    (imagemill.toml; default: 86400)" in lines
    assert "IMAGEMILL_JOB__LEASE_S=31    (.env; default: 30)" in lines
    sampling = 'IMAGEMILL_CHARACTERS__SAMPLING={"steps":20}'
    assert f"{sampling}    (environment, as IMAGEMILL_CHARACTERS__STEPS; default: {{}})" in lines
    assert not [line for line in lines if line.startswith("IMAGEMILL_HOST=")]


def test_all_settings_are_shown_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_PORT", "9001")
    lines = invoke("--all").output.splitlines()
    assert "IMAGEMILL_PORT=9001    (environment; default: 8700)" in lines
    assert "IMAGEMILL_HOST=127.0.0.1" in lines
    assert len(lines) == len(list(setting_names()))
    body = json.loads(invoke("--json").output)
    assert (body["port"], body["job"]["lease_s"], body["data_dir"]) == (9001, 30.0, "imagemill-data")
    assert set(body) == set(Settings.model_fields)


@pytest.mark.parametrize("name", ["IMAGEMILL_JOB__LEASE_S", "job.lease_s", "job__lease_s", "JOB__LEASE_S"])
def test_a_setting_is_explained(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_JOB__LEASE_S", "31")
    lines = invoke("explain", name).output.splitlines()
    assert lines[0] == "IMAGEMILL_JOB__LEASE_S"
    assert lines[1].startswith("  Seconds without a heartbeat")
    assert [line.split() for line in lines[2:5]] == [
        ["value", "31", "(environment)"],
        ["default", "30"],
        ["takes", "number,", "from", "1"],
    ]
    assert "[job] lease_s = ..." in lines[5]


def test_a_part_of_a_name_an_alias_and_a_merged_name_are_explained() -> None:
    found = json.loads(invoke("explain", "lease", "--json").output)
    assert [each["name"] for each in found] == ["IMAGEMILL_LEADER_LEASE_S", "IMAGEMILL_JOB__LEASE_S"]
    assert invoke("explain", "DATABASE_URL").output.startswith("IMAGEMILL_DATABASE_URL\n")
    assert invoke("explain", "IMAGEMILL_LIBRARY__WIDTH").output.startswith("IMAGEMILL_LIBRARY__PICTURE\n")


def test_a_name_that_is_no_setting_gets_near_ones() -> None:
    wrong = invoke("explain", "JOB__LAESE_S")
    assert wrong.exit_code == 1
    assert "did you mean IMAGEMILL_JOB__LEASE_S" in " ".join(wrong.stderr.split())
    assert "did you mean" in invoke("explain", "prot").stderr
    assert "--all shows all" in " ".join(invoke("explain", "xyzzy").stderr.split())
    assert invoke("explain", "").exit_code == 1


# Profiles


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_changes_known_settings_and_the_page_names_it(profile: str) -> None:
    def check(group: type[BaseModel], given: Any) -> None:
        for name, value in given.items():
            kind = group.model_fields[name].annotation
            if isinstance(kind, type) and issubclass(kind, SettingsGroup):
                check(kind, value)

    check(Settings, PROFILES[profile])
    read = Settings(profile=profile)  # pyright: ignore[reportArgumentType]
    assert read.profile == profile
    assert f"- **{profile}**" in settings_reference.markdown()
    assert Settings(profile=profile.upper()) == read  # pyright: ignore[reportArgumentType]


def test_dev_needs_no_key_on_loopback_and_shows_progress() -> None:
    settings = Settings(profile="dev")
    assert (settings.host, settings.auth.required, settings.log_format) == ("127.0.0.1", "auto", "text")
    assert settings.simulator.enabled == "always"
    assert settings.simulator.step_ms > 0


def test_ci_is_fast_and_repeatable() -> None:
    settings = Settings(profile="ci")
    simulator = settings.simulator
    assert (simulator.enabled, simulator.step_ms, simulator.load_ms, simulator.jitter) == ("always", 0, 0, 0)
    assert settings.job.retry_base_s < 0.1
    assert settings.log_format == "json"


@pytest.mark.parametrize("command", ["serve", "api", "scheduler", "worker", "generator"])
def test_fleet_does_not_start_without_postgres_and_a_broker(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--profile", "fleet"])
    text = " ".join(result.stderr.split())
    assert result.exit_code == 2
    assert "needs PostgreSQL: set IMAGEMILL_DATABASE_URL to postgresql://" in text
    assert "needs a broker: set IMAGEMILL_BROKER_URL to redis://" in text


def test_fleet_is_content_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://mill:pw@db/mill")
    monkeypatch.setenv("IMAGEMILL_BROKER_URL", "redis://:pw@redis/0")
    assert Settings(profile="fleet").profile_problems() == []


@pytest.mark.parametrize("url", ["", "http://images.example"])
def test_public_does_not_start_without_an_https_address(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_PROFILE", "public")
    monkeypatch.setenv("IMAGEMILL_PUBLIC_URL", url)
    result = CliRunner().invoke(app, ["serve"])
    assert result.exit_code == 2
    assert "set IMAGEMILL_PUBLIC_URL to https://" in " ".join(result.stderr.split())


def test_public_asks_everybody_and_limits_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_PUBLIC_URL", "https://images.example")
    settings = Settings(profile="public")
    assert settings.profile_problems() == []
    assert settings.auth.required == "always"
    assert settings.quota.enabled
    assert settings.allowed_host_headers == ("127.0.0.1", "images.example")
    monkeypatch.setenv("IMAGEMILL_AUTH__REQUIRED", "auto")
    assert "remove IMAGEMILL_AUTH__REQUIRED" in Settings(profile="public").profile_problems()[0]


def test_settings_and_doctor_show_what_a_profile_lacks() -> None:
    shown = invoke("--profile", "fleet")
    assert shown.exit_code == 0
    assert "needs a broker" in " ".join(shown.stderr.split())
    seen = CliRunner().invoke(app, ["doctor", "--profile", "fleet", "--only", "settings"])
    assert seen.exit_code == 1
    assert "needs a broker" in seen.output


# Names of the systems that Imagemill takes the place of


@pytest.mark.parametrize(
    ("given", "timeout_s"), [("300000", 300), ("10000", 10), ("9999", 9999), ("600", 600), ("0.5", 0.5)]
)
def test_a_timeout_of_hours_is_in_milliseconds(
    monkeypatch: pytest.MonkeyPatch, given: str, timeout_s: float
) -> None:
    monkeypatch.setenv("COMFYUI_TIMEOUT", given)
    assert Settings(_env_file=None).job.timeout_s == timeout_s


def test_the_result_backend_of_celery_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:6379/4")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://127.0.0.1:6379/5")
    found = Settings(_env_file=None).celery.result_url
    assert found is not None
    assert found.get_secret_value() == "redis://127.0.0.1:6379/5"


@pytest.mark.parametrize("command", ["settings", "doctor"])
def test_names_that_nothing_reads_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MONGODB_URI", "mongodb://127.0.0.1/images")
    monkeypatch.setenv("NODE_ENV", "production")  # of another program, unless the file has it
    (tmp_path / ".env").write_text("REDIS_HOST=127.0.0.1\nHF_HOME=/models\nPORT=8701\n")

    arguments = [command, "--only", "settings"] if command == "doctor" else [command]
    shown = " ".join(CliRunner().invoke(app, arguments).output.split())

    assert "MONGODB_URI is not read: there is no MongoDB here" in shown
    assert "REDIS_HOST is not read" in shown
    assert "HF_HOME is not read" in shown
    assert "NODE_ENV" not in shown
    assert "PORT is not read" not in shown


def test_an_error_of_several_settings_names_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMAGEMILL_FAL_API__HOSTS", '["images.example"]')
    monkeypatch.setenv("IMAGEMILL_PUBLIC_URL", "https://images.example")

    shown = " ".join(CliRunner().invoke(app, ["settings"]).output.split())

    assert "IMAGEMILL_FAL_API__HOSTS: nothing but fal's API would be served" in shown
    assert "Value error" not in shown
    assert "IMAGEMILL_:" not in shown


@pytest.mark.parametrize(
    ("is_checkout", "has_data", "named"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_the_data_folder_of_an_installed_command_is_the_user_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_checkout: bool, has_data: bool, named: bool
) -> None:
    import imagemill.config

    code = tmp_path / "lib" / "imagemill" / "config.py"
    code.parent.mkdir(parents=True)
    if is_checkout:
        (tmp_path / "pyproject.toml").write_text("")
    if has_data:
        (tmp_path / "imagemill-data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(imagemill.config, "__file__", str(code))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    expected = Path("imagemill-data") if named else tmp_path / "state" / "imagemill"
    assert imagemill.config.default_data_dir() == expected
