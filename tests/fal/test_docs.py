"""The tour of docs/fal-api.md, each line run as it is written."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from imagemill.dialects.fal.errors import _FAILURES  # pyright: ignore[reportPrivateUsage]
from imagemill.dialects.fal.settings import BUILTIN, SIZES
from tests.conftest import Server

PAGE = (Path(__file__).parents[2] / "docs/fal-api.md").read_text(encoding="utf-8")
TOUR = PAGE.partition("## Five minutes")[2].partition("\n## ")[0]
STEPS = re.findall(r"^```sh\n(.*?)^```", TOUR, re.MULTILINE | re.DOTALL)


def test_the_tour_works_as_it_is_written(make_server: Callable[..., Server], tmp_path: Path) -> None:
    # The last request is cancelled, however quick the simulator is.
    server = make_server(simulator={"faults": [{"fault": "hang", "prompt": "very slow", "times": 99}]})
    script = "set -eu\n" + "\necho ---\n".join(STEPS).replace("http://127.0.0.1:8700", server.url)
    # A refusal must not pass for an answer.
    script = script.replace("curl -s", "curl --fail-with-body --noproxy '*' -s")

    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False,
        env=dict(os.environ),
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.split("---\n")
    assert len(told) == len(STEPS) == 6
    with Image.open(tmp_path / "picture.jpeg") as picture:
        assert picture.size == (512, 512)
    assert '"status":"IN_QUEUE"' in told[1]
    assert '"status":"COMPLETED"' in told[2]
    assert '"seed":7' in told[2]
    assert '"width":512' in told[3]
    assert told[4].count("data: ") >= 1
    assert "CANCELLATION_REQUESTED" in told[5]


def test_the_page_names_every_app_size_and_kind_of_error() -> None:
    for name, app in BUILTIN.items():
        assert f"`{name}`" in PAGE
        assert app.model in PAGE
    assert all(f"`{name}`" in PAGE for name in SIZES)
    assert {type_ for _, type_ in _FAILURES.values()} <= set(re.findall(r"`(\w+)`", PAGE))
