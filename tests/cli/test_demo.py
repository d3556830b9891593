"""``imagemill demo`` on a fresh machine, from start to picture."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from imagemill.cli import demo_server
from tests.cli.programs import run


def test_the_demo_makes_a_picture_and_shows_its_timeline(tmp_path: Path) -> None:
    # Settings of whoever runs it, even wrong ones, do not reach the demo.
    (tmp_path / ".env").write_text("PORT=abc\n")
    done = run("demo", cwd=tmp_path, DATABASE_URL="nonsense://", IMAGEMILL_JOB__LEASE_S="0")
    assert done.returncode == 0, done.stdout + done.stderr
    picture = tmp_path / "demo-output" / "imagemill-demo.png"
    with Image.open(io.BytesIO(picture.read_bytes())) as image:
        assert (image.size, image.format) == ((768, 512), "PNG")
        assert "Steps: 25" in image.info["parameters"]
    assert str(picture) in done.stdout
    for stage in ("QUEUED", "CLAIMED", "PROMPT_PREPARED", "SENT_TO_BACKEND", "BACKEND_RESULT", "STORED"):
        assert stage in done.stdout
    assert sorted(path.name for path in picture.parent.iterdir()) == ["imagemill-demo.png", "server.log"]
    last = json.loads((picture.parent / "server.log").read_text().splitlines()[-1])
    assert last["event"] == "stopped"


def test_the_demo_prints_json_and_keeps_its_data_folder(tmp_path: Path) -> None:
    done = run("demo", "--json", "--keep", "--output", "here", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["path"] == "here/imagemill-demo.png"
    assert result["mediaType"] == "image/png"
    assert [stage["stage"] for stage in result["stages"]][-1] == "STORED"
    assert len(list((tmp_path / "here").glob("data-*/imagemill.db"))) == 1


def test_a_demo_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(demo_server._SETTINGS, "IMAGEMILL_JOB__LEASE_S", "0")
    with (
        pytest.raises(demo_server.CliError, match="did not start") as caught,
        demo_server.demo_server(tmp_path, keep=False),
    ):
        pass
    assert any("IMAGEMILL_JOB__LEASE_S" in line for line in caught.value.details)
    assert [path.name for path in tmp_path.iterdir()] == ["server.log"]


def test_an_output_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = run("demo", "--output", "taken", cwd=tmp_path)
    assert done.returncode == 1
    assert "taken cannot be written" in done.stderr
