"""Run the tour of books, line by line as it is written, with a small book."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pypdfium2
import pytest
from PIL import Image

from tests.books.drawn_photos import photo
from tests.books.http.support import book_server
from tests.cli.programs import environment
from tests.conftest import Server
from tests.docs.test_docs import FENCE, ROOT

PAGE = (ROOT / "docs/books.md").read_text(encoding="utf-8")
TOUR = PAGE.partition("## A book by HTTP")[2].partition("\n## ")[0]
BLOCKS = [body for language, body in FENCE.findall(TOUR) if language == "sh"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    assert BLOCKS[0].strip() == "imagemill serve"
    with book_server(tmp_path_factory.mktemp("tour")) as server:
        yield server


@pytest.mark.timeout(900)
def test_every_line_of_the_tour_works(server: Server, tmp_path: Path):
    (tmp_path / "child.jpg").write_bytes(photo(4))
    port = server.url.rpartition(":")[2]
    script = "set -eu -o pipefail\n" + "\n".join(BLOCKS[1:]).replace("localhost:8700", f"127.0.0.1:{port}")
    ours = environment(IMAGEMILL_URL=server.url, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=ours, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert '"errors"' not in done.stdout
    for name in ("reference.jpg", "page.jpg"):
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "JPEG"
    assert len(pypdfium2.PdfDocument(tmp_path / "book.pdf")) == 4
    for name in ("cover.pdf", "spreads.pdf", "proof.pdf"):
        assert len(pypdfium2.PdfDocument(tmp_path / name)) > 0


def test_the_tour_calls_every_kind_of_route():
    called = set(re.findall(r"personalizations/\$ID/?([a-z.]*)", "\n".join(BLOCKS)))
    assert {
        "reference", "generate", "pages", "unlock", "proof.pdf", "approve", "pdf", "cover.pdf", "spreads.pdf",
        "zip", "approval", "events", "",
    } <= called  # fmt: skip
