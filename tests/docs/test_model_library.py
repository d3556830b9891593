"""Run the tour of the model library, line by line as it is written."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from imagemill.config import Settings
from tests.cli.programs import environment, search_path
from tests.conftest import Server, running_server
from tests.docs.test_docs import FENCE, ROOT

PAGE = (ROOT / "docs/model-library.md").read_text(encoding="utf-8")
TOUR = PAGE.partition("## Five minutes with it")[2].partition("\n## ")[0]
BLOCKS = [body for language, body in FENCE.findall(TOUR) if language == "sh"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start the server with the settings of the first block, on a free port."""
    given = re.findall(r"IMAGEMILL_LIBRARY__(\w+)='([^']+)'", BLOCKS[0])
    assert BLOCKS[0].rstrip().endswith("imagemill serve")
    library = {name.lower(): json.loads(value) for name, value in given}
    with running_server(
        Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("tour"), library=library)
    ) as server:
        yield server


@pytest.mark.timeout(180)
def test_every_line_of_the_tour_works(server: Server, tmp_path: Path):
    port = server.url.rpartition(":")[2]
    script = "set -eu -o pipefail\n" + "\n".join(BLOCKS[1:]).replace("localhost:8700", f"127.0.0.1:{port}")
    ours = environment(IMAGEMILL_URL=server.url, PATH=search_path())
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=ours, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert '"errors"' not in done.stdout
    for name, kind in (("model.webp", "WEBP"), ("sheet.png", "PNG")):
        with Image.open(tmp_path / name) as picture:
            assert picture.format == kind
    assert "<li>" in (tmp_path / "sheet.html").read_text(encoding="utf-8")
    rows = server.client.get("/api/v1/library", params={"gender": "female", "limit": 500}).json()["items"]
    assert {row["pose"] for row in rows} == {"front standing", "side", "walking", "sitting"}


def test_the_tour_orders_by_curl():
    assert sum(block.count("curl ") for block in BLOCKS) >= 8
