"""The key that signs pictures' URLs: of the settings, else drawn once."""

from pathlib import Path

from imagemill.bootstrap.build import signing_key
from imagemill.config import Settings
from imagemill.domain.signing import UrlSigner


def key_of(folder: Path, **settings: str) -> bytes:
    return signing_key(Settings(_env_file=None, data_dir=folder, **settings))  # type: ignore[arg-type]


def test_machines_with_one_key_take_each_others_urls(tmp_path: Path) -> None:
    first, second = (key_of(tmp_path / name, url_signing_key="k" * 32) for name in "ab")
    signed = UrlSigner(first, life_s=60).sign("picture.png").query
    values = dict(part.split("=") for part in signed.split("&"))
    assert UrlSigner(second, life_s=60).check("picture.png", values["exp"], values["sig"])
    assert list(tmp_path.iterdir()) == [], "no other key is drawn"


def test_without_one_each_folder_draws_its_own_and_keeps_it(tmp_path: Path) -> None:
    first = key_of(tmp_path / "a")
    assert key_of(tmp_path / "a") == first
    assert key_of(tmp_path / "b") != first


def test_the_key_goes_before_the_file(tmp_path: Path) -> None:
    drawn = key_of(tmp_path)
    assert key_of(tmp_path, url_signing_key="k" * 32) == b"k" * 32 != drawn
