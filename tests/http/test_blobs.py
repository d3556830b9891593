"""Pictures by signed URLs: caching, ranges, and nothing for whoever has not got the URL."""

import io
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from PIL import Image

from imagemill.domain.signing import UrlSigner
from tests.conftest import Server
from tests.http.support import faulty_job, first, problem, slow_job, status_of


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    """The URL of a finished picture."""
    return first(server.submit(wait="true"))["result"]["blobUrl"]


@pytest.fixture(scope="module")
def picture(url: str) -> bytes:
    return httpx2.get(url, verify=False).content


def test_the_picture_is_whole_and_says_what_it_is(url: str, picture: bytes) -> None:
    answer = httpx2.get(url, verify=False)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["accept-ranges"] == "bytes"
    assert int(answer.headers["content-length"]) == len(picture)
    assert "immutable" in answer.headers["cache-control"]
    assert Image.open(io.BytesIO(answer.content)).size == (64, 64)


def test_a_head_tells_the_same_without_the_picture(url: str) -> None:
    get, head = httpx2.get(url, verify=False), httpx2.head(url)

    assert head.status_code == 200
    assert head.content == b""
    for name in ("content-type", "content-length", "etag", "accept-ranges"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "{} , W/{}", "*"])
def test_a_picture_one_has_is_not_sent_again(url: str, form: str) -> None:
    etag = httpx2.get(url, verify=False).headers["etag"]

    answer = httpx2.get(url, headers={"If-None-Match": form.replace("{}", etag)}, verify=False)

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == etag


def test_another_etag_gets_the_picture(url: str, picture: bytes) -> None:
    assert httpx2.get(url, headers={"If-None-Match": '"other"'}, verify=False).content == picture


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, None),
        ("bytes=-20", -20, None),
        ("bytes=0-0", 0, 1),
        ("bytes=5-99999999", 5, None),
    ],
)
def test_a_range_is_a_part(url: str, picture: bytes, asked: str, start: int, end: int | None) -> None:
    answer = httpx2.get(url, headers={"Range": asked}, verify=False)

    assert answer.status_code == 206
    assert answer.content == picture[start:end]
    first_byte = start if start >= 0 else len(picture) + start
    last_byte = first_byte + len(answer.content) - 1
    assert answer.headers["content-range"] == f"bytes {first_byte}-{last_byte}/{len(picture)}"


def test_several_ranges_come_in_several_parts(url: str, picture: bytes) -> None:
    answer = httpx2.get(url, headers={"Range": "bytes=0-3, 8-11"}, verify=False)

    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges")
    assert picture[:4] in answer.content
    assert picture[8:12] in answer.content


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=99999999-999999999"])
def test_a_range_outside_is_a_416(url: str, picture: bytes, asked: str) -> None:
    answer = httpx2.get(url, headers={"Range": asked}, verify=False)

    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(picture)}"


@pytest.mark.parametrize(
    "asked", ["items=0-9", "bytes", "bytes=", "bytes=x-y", "bytes=9-1", "bytes=-", "0-9", "bytes=1-2;3"]
)
def test_a_range_that_is_not_understood_is_no_range(url: str, picture: bytes, asked: str) -> None:
    answer = httpx2.get(url, headers={"Range": asked}, verify=False)

    assert (answer.status_code, answer.content) == (200, picture)


def test_a_range_of_another_version_gets_the_whole(url: str, picture: bytes) -> None:
    etag = httpx2.get(url, verify=False).headers["etag"]

    same = httpx2.get(url, headers={"Range": "bytes=0-3", "If-Range": etag}, verify=False)
    other = httpx2.get(url, headers={"Range": "bytes=0-3", "If-Range": '"other"'}, verify=False)

    assert (same.status_code, same.content) == (206, picture[:4])
    assert (other.status_code, other.content) == (200, picture)


def changed(url: str, **query: str) -> str:
    parts = urlsplit(url)
    values = {name: value[0] for name, value in parse_qs(parts.query).items()} | query
    return parts._replace(query="&".join(f"{name}={value}" for name, value in values.items())).geturl()


def test_a_tampered_url_opens_nothing(server: Server, url: str) -> None:
    other = first(server.submit(wait="true"))["result"]["blobUrl"]
    query = urlsplit(url).query
    signature = parse_qs(query)["sig"][0]
    tampered = [
        url.split("?")[0],
        changed(url, sig=""),
        changed(url, sig=signature[:-1]),
        changed(url, sig=signature + "0"),
        changed(url, sig=signature.upper()),
        changed(url, sig="0" * len(signature)),
        changed(url, sig="%C3%BC"),
        changed(url, exp="99999999999"),
        changed(url, exp="-1"),
        changed(url, exp=""),
        changed(url, exp="1e9"),
        changed(url, exp="%D9%A3"),
        urlsplit(other)._replace(query=query).geturl(),
    ]

    for each in tampered:
        assert "ask for the job again" in problem(httpx2.get(each, verify=False), 403)["detail"]


def test_a_url_expires(make_server: Callable[..., Server]) -> None:
    server = make_server()
    status = first(server.submit(wait="true"))
    secret = (server.app.settings.data_dir / "secrets" / "url-signing.key").read_bytes()
    past = UrlSigner(secret, life_s=-3600).sign(status["result"]["blobKey"])
    path = urlsplit(status["result"]["blobUrl"]).path

    assert httpx2.get(status["result"]["blobUrl"], verify=False).status_code == 200
    problem(httpx2.get(f"{server.url}{path}?{past.query}", verify=False), 403)


def test_urls_stay_valid_after_a_restart(make_server: Callable[..., Server]) -> None:
    before = make_server()
    url = first(before.submit(wait="true"))["result"]["blobUrl"]
    after = make_server()

    assert (
        httpx2.get(
            after.url + urlsplit(url)._replace(scheme="", netloc="").geturl(), verify=False
        ).status_code
        == 200
    )


def test_urls_of_two_installations_are_not_interchangeable(
    make_server: Callable[..., Server], tmp_path: Any
) -> None:
    one, other = make_server(), make_server(data_dir=tmp_path / "other")
    url = urlsplit(first(one.submit(wait="true"))["result"]["blobUrl"])

    problem(httpx2.get(f"{other.url}{url.path}?{url.query}", verify=False), 403)


@pytest.mark.parametrize("extension", [".jpeg", ".html", ".svg", "", ".png.html", ".PNG"])
def test_another_extension_opens_nothing(url: str, extension: str) -> None:
    """The URL decides what a saved file is called; it must not call a picture a page."""
    assert problem(httpx2.get(url.replace(".png", extension), verify=False), 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_picture_can_only_be_read(url: str, method: str) -> None:
    answer = httpx2.request(method, url, verify=False)

    problem(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD"


def test_a_picture_that_is_gone_is_a_404(make_server: Callable[..., Server]) -> None:
    server = make_server()
    status = first(server.submit(wait="true"))
    (blob,) = server.app.blobs.list("jobs/")
    server.app.blobs.delete([blob.key])

    assert "deleted" in problem(httpx2.get(status["result"]["blobUrl"], verify=False), 404)["detail"]


def test_no_url_is_given_before_there_is_a_picture(server: Server) -> None:
    failed = first(server.submit(faulty_job("content"), wait="true"))
    waiting = first(server.submit(slow_job(200)))

    for status in (waiting, failed, status_of(server, waiting["jobId"])):
        assert set(status["result"]) == {"blobKey", "available"}
    server.client.delete(f"/v1/consumer/jobs/{waiting['jobId']}")


def test_a_picture_has_its_parameters_in_it(picture: bytes) -> None:
    with Image.open(io.BytesIO(picture)) as image:
        image.load()
        parameters = image.info["parameters"]

    assert parameters.startswith("a lighthouse\nSteps: 4, Sampler: ")
    assert "Size: 64x64" in parameters


@pytest.mark.parametrize("public", ["https://pictures.example", "https://pictures.example/mill/"])
def test_urls_start_with_the_public_url(make_server: Callable[..., Server], public: str) -> None:
    server = make_server(public_url=public)

    url = first(server.submit(wait="true"))["result"]["blobUrl"]

    assert url.startswith(f"{public.rstrip('/')}/blobs/")
