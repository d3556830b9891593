"""A server whose pictures lie in a bucket: clients notice nothing, unless they are sent there."""

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from imagemill.config import Settings
from imagemill.db import tables
from tests.blobs.proxy import Proxy, before
from tests.conftest import Server, running_server
from tests.http.support import first, problem, until
from tests.seaweed import Seaweed


@dataclass
class Delivered:
    """A finished picture as a client and as the store have it."""

    server: Server
    url: str
    data: bytes


def settings(seaweed: Seaweed, folder: Path, **s3: Any) -> Settings:
    return Settings(
        _env_file=None,
        data_dir=folder,
        s3=seaweed.settings(**{"prefix": f"t/{secrets.token_hex(6)}", **s3}),
        sweep_s=0.05,
        job={"retry_base_s": 0.01, "heartbeat_s": 0.05},
    )


def delivered(server: Server) -> Delivered:
    url = first(server.submit(wait="true"))["result"]["blobUrl"]
    (blob,) = server.app.blobs.list("jobs/")
    return Delivered(server, url, server.app.blobs.get(blob.key))


@pytest.fixture(scope="module")
def picture(seaweed: Seaweed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delivered]:
    with running_server(settings(seaweed, tmp_path_factory.mktemp("s3"))) as server:
        yield delivered(server)


@pytest.fixture(scope="module")
def redirected(seaweed: Seaweed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delivered]:
    public = f"http://localhost:{seaweed.port}"
    made = settings(seaweed, tmp_path_factory.mktemp("s3"), delivery="redirect", public_endpoint=public)
    with running_server(made) as server:
        yield delivered(server)


def test_a_picture_in_a_bucket_is_fetched_without_a_token(picture: Delivered) -> None:
    answer = httpx2.get(picture.url, verify=False)

    assert (answer.status_code, answer.content) == (200, picture.data)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["accept-ranges"] == "bytes"
    assert int(answer.headers["content-length"]) == len(picture.data)
    assert "immutable" in answer.headers["cache-control"]


def test_nothing_of_it_lies_in_the_data_folder(picture: Delivered) -> None:
    assert not (picture.server.app.settings.data_dir / "blobs").exists()


def test_a_head_tells_the_same_without_the_picture(picture: Delivered) -> None:
    get, head = httpx2.get(picture.url, verify=False), httpx2.head(picture.url)

    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length", "etag", "accept-ranges"):
        assert head.headers[name] == get.headers[name]


def test_a_picture_one_has_is_not_sent_again(picture: Delivered) -> None:
    etag = httpx2.get(picture.url, verify=False).headers["etag"]
    answer = httpx2.get(picture.url, headers={"If-None-Match": etag}, verify=False)

    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=10-", 10, None), ("bytes=-20", -20, None), ("bytes=5-99999999", 5, None)],
)
def test_a_range_is_a_part(picture: Delivered, asked: str, start: int, stop: int | None) -> None:
    answer = httpx2.get(picture.url, headers={"Range": asked}, verify=False)
    begin = start if start >= 0 else len(picture.data) + start

    assert (answer.status_code, answer.content) == (206, picture.data[start:stop])
    last = begin + len(answer.content) - 1
    assert answer.headers["content-range"] == f"bytes {begin}-{last}/{len(picture.data)}"


def test_a_range_outside_is_a_416(picture: Delivered) -> None:
    answer = httpx2.get(picture.url, headers={"Range": "bytes=99999999-"}, verify=False)

    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(picture.data)}"


@pytest.mark.parametrize("asked", ["items=0-9", "bytes=9-1", "bytes=-", "bytes=0-3, 8-11"])
def test_a_range_that_is_not_served_gets_the_whole(picture: Delivered, asked: str) -> None:
    answer = httpx2.get(picture.url, headers={"Range": asked}, verify=False)

    assert (answer.status_code, answer.content) == (200, picture.data)


def test_a_range_of_another_version_gets_the_whole(picture: Delivered) -> None:
    etag = httpx2.get(picture.url, verify=False).headers["etag"]
    same = httpx2.get(picture.url, headers={"Range": "bytes=0-3", "If-Range": etag}, verify=False)
    other = httpx2.get(picture.url, headers={"Range": "bytes=0-3", "If-Range": '"other"'}, verify=False)

    assert (same.status_code, same.content) == (206, picture.data[:4])
    assert (other.status_code, other.content) == (200, picture.data)


def test_a_client_is_sent_to_the_store_by_its_public_address(redirected: Delivered) -> None:
    answer = httpx2.get(redirected.url, verify=False)
    location = answer.headers["location"]
    there = httpx2.get(location, headers={"Range": "bytes=0-3"}, verify=False)

    assert answer.status_code == 307
    assert location.startswith("http://localhost:")
    assert (there.status_code, there.content) == (206, redirected.data[:4])
    assert httpx2.get(redirected.url, follow_redirects=True, verify=False).content == redirected.data


def test_a_head_is_sent_to_the_store_too(redirected: Delivered) -> None:
    answer = httpx2.head(redirected.url, follow_redirects=True)

    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(redirected.data)


def test_a_wrong_url_is_sent_nowhere(redirected: Delivered) -> None:
    problem(httpx2.get(redirected.url.replace("sig=", "sig=0"), verify=False), 403)


def test_a_picture_that_is_gone_is_a_404(seaweed: Seaweed, tmp_path: Path) -> None:
    with running_server(settings(seaweed, tmp_path)) as server:
        it = delivered(server)
        server.app.blobs.delete([blob.key for blob in server.app.blobs.list("jobs/")])

        assert "deleted" in problem(httpx2.get(it.url, verify=False), 404)["detail"]
        assert httpx2.head(it.url).status_code == 404


def test_a_file_of_many_pieces_arrives_whole(seaweed: Seaweed, tmp_path: Path) -> None:
    data = os.urandom(9 * 2**20)
    with running_server(settings(seaweed, tmp_path)) as server:
        it = delivered(server)
        keep_as_its_picture(server, data)

        assert httpx2.get(it.url, timeout=60, verify=False).content == data
        part = httpx2.get(it.url, headers={"Range": "bytes=4194300-4194310"}, verify=False)
        assert part.content == data[4194300:4194311]


def keep_as_its_picture(server: Server, data: bytes) -> None:
    """Larger bytes in the place of the only picture; the record of it is told the size."""
    (blob,) = server.app.blobs.list("jobs/")
    server.app.blobs.put(blob.key, data, "image/png")
    engine = sa.create_engine(server.app.settings.database)
    with engine.begin() as conn:
        conn.execute(sa.update(tables.artifacts).values(size=len(data)))
    engine.dispose()


@pytest.fixture
def proxy(seaweed: Seaweed) -> Iterator[Proxy]:
    with before(seaweed.port) as proxy:
        yield proxy


def test_while_the_store_is_away_pictures_are_a_503_and_health_says_so(
    seaweed: Seaweed, proxy: Proxy, tmp_path: Path
) -> None:
    with running_server(settings(seaweed, tmp_path, endpoint=proxy.url, timeout_s=0.5)) as server:
        it = delivered(server)
        proxy.status = "500 Internal Server Error"

        answer = httpx2.get(it.url, verify=False)
        health = httpx2.get(f"{server.url}/health", verify=False)

        assert problem(answer, 503)
        assert "retry-after" in answer.headers
        assert health.status_code == 503
        assert "answered 500" in health.json()["blobs"]


def test_a_render_is_kept_while_the_store_is_away(seaweed: Seaweed, proxy: Proxy, tmp_path: Path) -> None:
    with running_server(settings(seaweed, tmp_path, endpoint=proxy.url, timeout_s=0.5)) as server:
        proxy.status = "500 Internal Server Error"
        job_id = first(server.submit())["jobId"]
        until(lambda: proxy.refused)
        proxy.status = ""
        job = server.wait(job_id)

        assert (job["status"], job["attempt"]) == ("succeeded", 1)
