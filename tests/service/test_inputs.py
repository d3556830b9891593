"""Pictures that clients bring."""

import base64
import io
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image

from imagemill.bootstrap.stores import Stores
from imagemill.domain.blob_keys import artifact_id
from imagemill.domain.errors import BackendError, InvalidInput
from imagemill.domain.failures import FailureCode
from tests.service.build import MemoryBlobs, add, inputs, mill, png


class Site:
    """Answers every GET with ``status``, ``headers`` and ``body``."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = png()
        self.asked = 0
        self.cookies: list[str | None] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked += 1
                site.cookies.append(self.headers["Cookie"])
                self.send_response(site.status)
                for name, value in {"Content-Length": str(len(site.body)), **site.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(site.body)

            def log_message(self, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/source.png"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def refused(store: Stores, text: str, **limits: Any) -> str:
    with pytest.raises(InvalidInput) as error:
        inputs(store, **limits).accept("input.image", text, "ann")
    assert error.value.errors[0].path == "input.image"
    return error.value.errors[0].message


def unusable(store: Stores, url: str, **limits: Any) -> str:
    with pytest.raises(BackendError) as error:
        inputs(store, **limits).load(url)
    assert error.value.failure is FailureCode.BAD_INPUT
    return str(error.value)


def test_a_data_url_is_stored_once_under_its_digest(store: Stores):
    blobs = MemoryBlobs()
    taken = inputs(store, blobs)
    first = taken.accept("image", data_url(png()), "ann")
    second = taken.accept("image", data_url(png(), "image/webp"), "ann")
    assert first == second
    assert first.startswith("inputs/")
    assert first.endswith(".png")
    assert taken.load(first) == png()


@pytest.mark.parametrize(
    "write",
    [
        lambda text: "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76)),
        lambda text: f" {text}\n",
        lambda text: text.rstrip("="),
        lambda text: text.replace("+", "-").replace("/", "_"),
        lambda text: text.replace("+", "-").replace("/", "_").rstrip("="),
        lambda text: text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
    ],
    ids=["wrapped", "blanks", "unpadded", "URL-safe", "URL-safe and unpadded", "percent-encoded"],
)
def test_base64_is_taken_as_encoders_write_it(store: Stores, write: Callable[[str], str]):
    file = io.BytesIO()
    Image.effect_noise((40, 31), 90).save(file, "PNG")
    data = file.getvalue()
    text = base64.b64encode(data).decode()
    assert {"+", "/"} <= set(text)
    taken = inputs(store, MemoryBlobs())
    assert taken.load(taken.accept("image", f"data:image/png;base64,{write(text)}", "ann")) == data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data:image/png,raw", "base64 data URL"),
        ("data:image/png;base64,???", "not valid base64"),
        (data_url(b"no picture"), "send a PNG, JPEG or WebP"),
        (data_url(png()[:40]), "cannot be decoded"),
        ("ftp://example.com/x.png", "http or https"),
        ("http://169.254.169.254/latest", "not a public address"),
        ("/etc/passwd", "http or https"),
        ("inputs/aa/secret.png", "http or https"),
        ("", "http or https"),
        ("blob:" + "A" * 64, "names no finished picture of yours"),
        ("blob:../../secrets/url-signing.key", "names no finished picture of yours"),
    ],
)
def test_what_is_no_picture_is_refused_at_once(store: Stores, text: str, message: str):
    assert message in refused(store, text)


def test_a_picture_beyond_the_limits_is_refused(store: Stores):
    assert "at most 50 are accepted" in refused(store, data_url(png()), bytes=50)
    assert "more than 63 pixels" in refused(store, data_url(png()), pixels=63)


def test_a_finished_picture_of_one_s_own_may_be_named(store: Stores):
    job = add(store)
    mill(store).run()
    key = inputs(store).accept("image", f"blob:{artifact_id(job.id, 0)}", "ann")
    assert key == f"jobs/{job.id}/1/0.png"


def test_another_owner_s_picture_is_as_unknown_as_none(store: Stores):
    job = add(store, owner="bob")
    mill(store).run()
    assert refused(store, f"blob:{artifact_id(job.id, 0)}") == refused(store, "blob:" + "A" * 64)


def test_a_url_is_fetched_when_the_job_is_prepared(store: Stores, site: Site):
    taken = inputs(store)
    assert taken.accept("image", site.url, "ann") == site.url
    assert taken.load(site.url) == png()


def test_what_is_fetched_is_checked(store: Stores, site: Site):
    site.body = b"<html>"
    assert "is HTML" in unusable(store, site.url)
    site.body = png(200, 200)
    assert "more than 10000 pixels" in unusable(store, site.url)
    assert "more than the 50 bytes" in unusable(store, site.url, bytes=50)


def test_an_answer_that_is_no_picture_names_its_status(store: Stores, site: Site):
    site.status = 404
    assert "answered 404" in unusable(store, site.url + "?signature=secret")
    assert "secret" not in unusable(store, site.url + "?signature=secret")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(store: Stores, site: Site, status: int):
    other = Site()
    site.status, site.headers = status, {"Location": other.url}
    assert inputs(store).load(site.url) == png()
    other.close()


def test_redirects_are_followed_three_times(store: Stores, site: Site):
    site.status, site.headers = 302, {"Location": "/again"}
    assert "redirects more than 3 times" in unusable(store, site.url)
    assert site.asked == 4


@pytest.mark.parametrize(
    "location", ["http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://[::ffff:10.0.0.1]/"]
)
def test_a_redirect_to_a_private_address_is_refused(store: Stores, site: Site, location: str):
    site.status, site.headers = 302, {"Location": location}
    assert "not a public address" in unusable(store, site.url)


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://example.com/", "http://ann:pw@example.com/"]
)
def test_a_redirect_to_what_is_no_plain_url_is_refused(store: Stores, site: Site, location: str):
    site.status, site.headers = 302, {"Location": location}
    assert "redirects to an address that may not be fetched" in unusable(store, site.url)


def test_a_redirect_keeps_no_cookie(store: Stores, site: Site):
    taken = inputs(store)
    site.headers = {"Set-Cookie": "user=ann"}
    taken.load(site.url)
    taken.load(site.url)
    assert site.cookies == [None, None]


def test_a_compressed_answer_is_not_unpacked(store: Stores, site: Site):
    site.headers = {"Content-Encoding": "gzip"}
    site.body = b"\x1f\x8b" + b"0" * 100
    assert "is not a picture of a known type" in unusable(store, site.url)


def test_a_stored_picture_that_is_gone_says_so(store: Stores):
    assert "submit it again" in unusable(store, "inputs/aa/" + "a" * 64 + ".png")
