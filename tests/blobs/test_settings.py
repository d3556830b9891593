"""Which store the settings open, by which names, and what is said about wrong ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from imagemill.blobs.local import LocalBlobs
from imagemill.blobs.s3 import S3Blobs
from imagemill.blobs.settings import S3Settings
from imagemill.bootstrap.build import open_blobs
from imagemill.bootstrap.settings_check import format_errors
from imagemill.cli.app import app
from imagemill.config import Settings
from imagemill.setting_names import ALIASES

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "a-secret"}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ALIASES:
        monkeypatch.delenv(name, raising=False)


def read(monkeypatch: pytest.MonkeyPatch, **environment: str) -> S3Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings().s3


def secret(settings: S3Settings) -> str | None:
    return settings.secret_access_key.get_secret_value() if settings.secret_access_key else None


def test_without_a_bucket_files_lie_in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys and an address of AWS may be there for another program."""
    settings = read(monkeypatch, **KEYS, AWS_ENDPOINT_URL="https://store.example")

    assert isinstance(open_blobs(tmp_path, settings), LocalBlobs)


def test_a_bucket_makes_the_difference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = read(monkeypatch, **KEYS, S3_BUCKET_NAME="pictures")

    assert isinstance(open_blobs(tmp_path / "blobs", settings), S3Blobs)
    assert not (tmp_path / "blobs").exists()


def test_the_names_of_aws_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(
        monkeypatch,
        **KEYS,
        AWS_ENDPOINT_URL="https://storage.yandexcloud.net/",
        AWS_REGION_NAME="ru-central1",
        S3_BUCKET_NAME="pictures",
    )

    assert (settings.bucket, settings.address) == ("pictures", "https://storage.yandexcloud.net")
    assert (settings.region, settings.access_key_id, secret(settings)) == ("ru-central1", "key", "a-secret")


def test_the_names_of_r2_are_read_and_go_before_those_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(
        monkeypatch,
        **KEYS,
        S3_BUCKET_NAME="of-aws",
        R2_ACCOUNT_ID="0a" * 16,
        R2_BUCKET_NAME="of-r2",
        R2_ACCESS_KEY_ID="r2-key",
        R2_SECRET_ACCESS_KEY="r2-secret",
    )

    assert settings.address == f"https://{'0a' * 16}.r2.cloudflarestorage.com"
    assert (settings.bucket, settings.access_key_id, secret(settings)) == ("of-r2", "r2-key", "r2-secret")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMAGEMILL_S3__ENDPOINT", "store.example:9000"),
        ("IMAGEMILL_S3__ENDPOINT", "https://key:secret@store.example"),
        ("IMAGEMILL_S3__PUBLIC_ENDPOINT", "ftp://store.example"),
        ("IMAGEMILL_S3__PREFIX", "../elsewhere"),
        ("IMAGEMILL_S3__PREFIX", "/absolute"),
        ("IMAGEMILL_S3__R2_ACCOUNT_ID", "evil.example/"),
        ("IMAGEMILL_S3__DELIVERY", "carrier-pigeon"),
        ("IMAGEMILL_BLOBS__SEARCH_S", "0"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(monkeypatch, **{name: value})
    (line,) = format_errors(caught.value)

    assert line.startswith(name)
    assert "key:secret" not in line


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    read(monkeypatch, **KEYS, AWS_SESSION_TOKEN="a-token")

    for arguments in (["settings"], ["settings", "--json"]):
        shown = CliRunner().invoke(app, arguments).output
        assert "a-secret" not in shown
        assert "a-token" not in shown


def test_who_has_no_bucket_does_not_pay_for_its_client(tmp_path: Path) -> None:
    script = (
        "import sys, imagemill.bootstrap.application as b, imagemill.config as c; "
        "b.Application(c.Settings()).close()"
    )
    check = "; sys.exit('obstore' in sys.modules)"
    environment = {**os.environ, "IMAGEMILL_DATA_DIR": str(tmp_path)}

    subprocess.run([sys.executable, "-c", script + check], env=environment, check=True, timeout=200)
