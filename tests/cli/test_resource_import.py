"""``imagemill resources import``: files of several forms and URLs, with reports by line."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from imagemill.cli.app import app
from imagemill.cli.resource_rows import read_rows
from tests.conftest import SD1, Server

LAMP = "urn:air:sdxl:lora:civitai:21@22"
FOG = "urn:air:flux1:lora:civitai:23@24"
LINES = f'{{"air":"{LAMP}","modelName":"Lamp"}}\n\n{{"air":"{FOG}"}}\n'
EXPORT = f"""{{"_id":{{"$oid":"65f0"}},"air":"{LAMP}","createdAt":{{"$date":"2025-01-01T00:00Z"}},"likes":1}}
{{"_id":{{"$oid":"65f1"}},"air":"{SD1}","size":{{"$numberLong":"5"}}}}
"""
JOBS = '{"_id":{"$oid":"65f2"},"jobId":"b","params":{}}\n' * 3


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server()


def run(server: Server, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["resources", *arguments, "--url", server.url])


def saved(tmp_path: Path, text: str | bytes, name: str = "models.json") -> str:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def found(server: Server, source: str, *options: str) -> dict[str, Any]:
    result = run(server, "import", source, "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (LINES, [1, 3]),
        (f'[\n  {{"air": "{LAMP}"}},\n  {{"air":\n "{FOG}"}}\n]\n', [2, 3]),
        (f'{{\n"air": "{LAMP}"\n}}\n{{"air": "{FOG}"}}', [1, 4]),
        ("\ufeff" + LINES.replace("\n", "\r\n"), [1, 3]),
        (LINES.encode("utf-16"), [1, 3]),
    ],
    ids=["lines", "list", "objects", "byte order mark", "utf-16"],
)
def test_a_file_is_imported_in_every_form(
    server: Server, tmp_path: Path, text: str | bytes, lines: list[int]
):
    body = found(server, saved(tmp_path, text))
    assert (body["created"], body["written"]) == (2, True)
    assert [item["line"] for item in body["items"]] == lines
    assert found(server, saved(tmp_path, text))["unchanged"] == 2


def test_an_export_of_mongodb_is_imported(server: Server, tmp_path: Path):
    result = run(server, "import", saved(tmp_path, EXPORT))
    assert "1 created, 1 changed, 0 unchanged, 0 refused" in result.output
    assert "not kept, as models have no such fields: likes" in result.output
    assert json.loads(run(server, "show", SD1, "--json").stdout)["size"] == 5


def test_an_export_of_jobs_is_answered_with_a_sentence(server: Server, tmp_path: Path):
    result = run(server, "import", saved(tmp_path, JOBS))
    assert result.exit_code == 1
    assert "line 3: is a job, or an event of one; only models are imported" in result.output


def test_a_refused_row_is_named_by_its_line_and_nothing_is_registered(server: Server, tmp_path: Path):
    source = saved(tmp_path, LINES + '{"air": broken}\n{"air":"nonsense"}\n[]\n')
    result = run(server, "import", source)
    assert result.exit_code == 1
    assert "3 rows refused, so nothing was registered" in result.output
    assert "line 4: is not JSON" in result.output
    assert "line 5: air 'nonsense' is not an AIR" in result.output
    assert "line 6: is not an object" in result.output
    assert run(server, "show", LAMP).exit_code == 1
    skipped = found(server, source, "--skip-refused")
    assert (skipped["created"], skipped["refused"], skipped["written"]) == (2, 3, True)
    assert run(server, "show", LAMP).exit_code == 0


def test_a_dry_run_only_shows_what_would_be_done(server: Server, tmp_path: Path):
    result = run(server, "import", saved(tmp_path, LINES), "--dry-run")
    assert "2 created" in result.output
    assert "nothing was written" in result.output
    assert run(server, "show", LAMP).exit_code == 1


def test_many_rows_are_sent_in_parts(server: Server, tmp_path: Path):
    text = "\n".join(json.dumps({"air": f"urn:air:sd1:lora:civitai:7@{n}"}) for n in range(1, 451))
    assert found(server, saved(tmp_path, text), "--dry-run")["created"] == 450
    assert "400 rows more; --json lists all" in run(server, "import", saved(tmp_path, text)).output
    listed = json.loads(run(server, "list", "civitai:7@", "--json").stdout)
    assert listed["total"] == 450


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no rows"),
        (b"[]", "has no rows"),
        (b"<!DOCTYPE html><p>x", "is a web page, not JSON"),
        (b"\xff\x00\xff", "is not text in UTF-8"),
    ],
)
def test_a_file_that_holds_no_rows_is_refused(server: Server, tmp_path: Path, content: bytes, words: str):
    result = run(server, "import", saved(tmp_path, content))
    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.parametrize(
    ("source", "words"),
    [("no/such/file.json", "cannot be read"), ("ftp://example.org/x", "only http and https")],
)
def test_a_source_that_cannot_be_read_is_named(server: Server, source: str, words: str):
    result = run(server, "import", source)
    assert result.exit_code == 2
    assert words in result.output


class Site(http.server.BaseHTTPRequestHandler):
    """Serves ``/models``, and redirects ``/moved`` there."""

    seen: list[str] = []
    """The path and the token of each request."""

    def do_GET(self) -> None:
        self.seen.append(f"{self.path} {self.headers.get('Authorization')}")
        body = LINES.encode() if self.path == "/models" else b"no"
        self.send_response({"/models": 200, "/moved": 302}.get(self.path, 404))
        if self.path == "/moved":
            self.send_header("Location", "/models")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    Site.seen.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_url_is_read_without_our_token(server: Server, site: str):
    assert found(server, f"{site}/moved")["created"] == 2
    missing = run(server, "import", f"{site}/nothing")
    assert missing.exit_code == 2
    assert "answered 404" in missing.output
    assert Site.seen == ["/moved None", "/models None", "/nothing None"]


def test_a_row_is_read_although_the_one_before_it_is_broken():
    rows = list(read_rows('{"a": }\n{"b": 1}\n{"c": NaN}\n' + "[" * 100_000))
    assert [(row.line, bool(row.text)) for row in rows] == [(1, False), (2, True), (3, False), (4, False)]
    assert "column 7" in rows[0].error


def test_pictures_of_a_model_of_the_site_are_left_out():
    model = {"id": 1, "modelVersions": [{"id": 2, "images": [{"url": "x"}]}], "stats": {}}
    (row,) = read_rows(json.dumps(model))
    assert json.loads(row.text) == {"id": 1, "modelVersions": [{"id": 2}]}
