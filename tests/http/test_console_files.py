"""The files of the web application: what is cached, compressed and never mistaken for the API."""

import asyncio
import gzip
import re
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from imagemill.web.frontend import SCREENS, ConsoleFiles, accepts_gzip, content_security_policy
from tests.conftest import Server

SCRIPT = b"console.log('a script')\n" * 50


@pytest.fixture
def build(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("<title>console</title>")
    (tmp_path / "studio.html").write_text("<title>studio</title>")
    assets = tmp_path / "assets"
    assets.mkdir()
    (assets / "main-1a2b3c.js").write_bytes(SCRIPT)
    (assets / "main-1a2b3c.js.gz").write_bytes(gzip.compress(SCRIPT))
    (assets / "tiny-9z.css").write_text("a { color: red }")
    (tmp_path / "source.sha256").write_text("secret")
    return tmp_path


def get(folder: Path, path: str, **headers: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(Starlette(routes=ConsoleFiles(folder).routes()))

    async def asked() -> httpx2.Response:
        async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get(path, headers={"Accept-Encoding": "identity", **headers})

    return asyncio.run(asked())


@pytest.mark.parametrize(
    "path", ["/", "/queue", "/jobs/0192f3a4-0000-7000-8000-000000000000", "/people/anna/"]
)
def test_a_screen_is_the_console_and_revalidated_each_time(build: Path, path: str):
    page = get(build, path)
    assert page.text == "<title>console</title>"
    assert page.headers["cache-control"] == "no-cache"
    again = get(build, path, **{"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    (build / "index.html").write_text("<title>another build</title>")
    assert get(build, path, **{"If-None-Match": page.headers["etag"]}).status_code == 200


@pytest.mark.parametrize("path", ["/books", "/books/", "/books/little-star/7"])
def test_books_is_the_studio(build: Path, path: str):
    assert get(build, path).text == "<title>studio</title>"


def test_an_asset_is_kept_forever_and_sent_compressed(build: Path):
    plain = get(build, "/assets/main-1a2b3c.js")
    small = get(build, "/assets/main-1a2b3c.js", **{"Accept-Encoding": "br, gzip"})
    assert plain.content == small.content == SCRIPT
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert int(small.headers["content-length"]) < 200
    for answer in (plain, small):
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["vary"] == "Accept-Encoding"
    assert get(build, "/assets/tiny-9z.css").headers["content-type"].startswith("text/css")


@pytest.mark.parametrize(
    "path",
    [
        "/assets/none.js",
        "/assets/main-1a2b3c.js.gz",
        "/assets/..%2Fsource.sha256",
        "/assets/.hidden.js",
        "/assets/",
    ],
)
def test_nothing_but_the_assets_is_sent(build: Path, path: str):
    answer = get(build, path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_a_missing_build_names_the_remedy(tmp_path: Path):
    answer = get(tmp_path, "/queue")
    assert answer.status_code == 503
    assert "make web" in answer.text
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("header", "accepted"),
    [("gzip, br", True), ("br;q=1.0, gzip;q=0.5", True), ("gzip;q=0", False), ("", False), ("x-gzip", False)],
)
def test_gzip_is_sent_to_those_who_accept_it(header: str, accepted: bool):
    assert accepts_gzip(header) is accepted


def test_the_policy_of_the_pages_names_where_pictures_come_from():
    policy = content_security_policy(["https://mill.example/below", "https://store.example:9000", "https:"])
    assert "img-src 'self' data: blob: https://mill.example https://store.example:9000 https:;" in policy
    assert "unsafe" not in policy
    assert "script-src 'self';" in policy


def test_every_screen_has_a_path_that_is_served():
    table = (Path(__file__).parents[2] / "web/src/app/navigation.ts").read_text()
    paths = {part for part in re.findall(r'"/([a-z-]*)[^"]*"', table) if part}
    assert paths == set(SCREENS)


def test_on_a_server_only_screens_are_public_and_the_api_is_never_a_page(make_server: Callable[..., Server]):
    server = make_server(auth={"admin_key": "a" * 40}, fal_api={"hosts": ["queue.fal.localhost"]})
    with httpx2.Client(base_url=server.url, trust_env=False) as client:
        for name in ("", *SCREENS, "books"):
            page = client.get(f"/{name}")
            assert page.status_code in (200, 503), name
            assert page.headers["content-type"].startswith("text/html")
            assert "script-src 'self';" in page.headers["content-security-policy"]
            assert page.headers["x-frame-options"] == "DENY"
        for path in (
            "/api/v1/none",
            "/v1/none",
            "/v2/none",
            "/fal-run/none",
            "/anything",
            "/queuexyz",
            "/blobs/x/y",
        ):
            answer = client.get(path, headers={"Accept": "text/html"})
            assert answer.status_code in (401, 403, 404), path
            assert "json" in answer.headers["content-type"], path
        admin = {"Authorization": f"Bearer {'a' * 40}"}
        assert client.get("/anything", headers=admin).status_code == 404
        assert client.post("/queue", headers=admin).status_code == 405
        assert client.head("/queue").status_code in (200, 503)
        assert client.get("/", headers={"Host": "queue.fal.localhost"}).status_code in (401, 404)
