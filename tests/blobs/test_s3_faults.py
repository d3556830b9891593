"""A store that is slow, refuses, damages or goes away: an error in time, and no part of a blob."""

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from imagemill.blobs.s3 import S3Blobs
from imagemill.domain.errors import NotFound, StorageError
from tests.blobs.contract import OTHER, key
from tests.blobs.proxy import Proxy, before
from tests.seaweed import Seaweed

TIMEOUT_S = 0.6
BOUND_S = 8.0
"""Twice the timeout for a request and its retries, of two requests; the rest is for a busy machine."""
MB = 2**20


@pytest.fixture
def proxy(seaweed: Seaweed) -> Iterator[Proxy]:
    with before(seaweed.port) as proxy:
        yield proxy


@pytest.fixture
def prefix() -> str:
    return f"t/{secrets.token_hex(6)}"


@pytest.fixture
def blobs(seaweed: Seaweed, proxy: Proxy, prefix: str) -> S3Blobs:
    """By way of the proxy, where one blob is."""
    blobs = S3Blobs(seaweed.settings(endpoint=proxy.url, prefix=prefix, timeout_s=TIMEOUT_S, retries=2))
    S3Blobs(seaweed.settings(prefix=prefix)).put(key(OTHER), b"there before", "image/png")
    return blobs


@pytest.fixture
def direct(seaweed: Seaweed, prefix: str) -> S3Blobs:
    """The same blobs past the proxy."""
    return S3Blobs(seaweed.settings(prefix=prefix))


def acts(blobs: S3Blobs) -> list[Callable[[], object]]:
    """Everything that can be asked of a store."""
    return [
        lambda: blobs.put(key(), b"x" * 1000, "image/png"),
        lambda: blobs.create(key(), b"x" * 1000, "image/png"),
        lambda: blobs.get(key(OTHER)),
        lambda: blobs.read(key(OTHER), 0, 5),
        lambda: blobs.delete([key(OTHER)]),
        lambda: list(blobs.list("jobs/")),
        blobs.ping,
    ]


def assert_each_fails_in_time(blobs: S3Blobs, reason: str) -> None:
    for act in acts(blobs):
        begin = time.monotonic()
        with pytest.raises(StorageError, match=reason):
            act()
        assert time.monotonic() - begin < BOUND_S


def assert_nothing_changed(direct: S3Blobs) -> None:
    assert [blob.key for blob in direct.list("jobs/")] == [key(OTHER)]
    assert direct.get(key(OTHER)) == b"there before"


def test_a_store_that_does_not_answer_is_an_error_in_time(
    proxy: Proxy, blobs: S3Blobs, direct: S3Blobs
) -> None:
    proxy.silent = True

    assert_each_fails_in_time(blobs, "did not answer in time")
    assert_nothing_changed(direct)


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Slow Down", "403 Forbidden"])
def test_a_store_that_refuses_is_an_error_in_time(
    proxy: Proxy, blobs: S3Blobs, direct: S3Blobs, status: str
) -> None:
    proxy.status = status

    assert_each_fails_in_time(blobs, f"answered {status[:3]}")
    assert_nothing_changed(direct)


def test_a_store_that_is_not_there_is_an_error_in_time(seaweed: Seaweed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    blobs = S3Blobs(seaweed.settings(endpoint=f"http://127.0.0.1:{free}", timeout_s=TIMEOUT_S))

    assert_each_fails_in_time(blobs, "refuses connections|connection to the store broke")


@pytest.mark.parametrize("size", [1 * MB, 20 * MB], ids=["whole", "in parts"])
@pytest.mark.parametrize("verb", ["put", "create"])
def test_an_upload_that_breaks_off_leaves_nothing(
    proxy: Proxy, blobs: S3Blobs, direct: S3Blobs, verb: str, size: int
) -> None:
    proxy.cut_up_after = 300_000
    begin = time.monotonic()

    with pytest.raises(StorageError):
        getattr(blobs, verb)(key(), os.urandom(size), "image/png")
    assert time.monotonic() - begin < BOUND_S
    with pytest.raises(NotFound):
        direct.get(key())
    assert_nothing_changed(direct)


def test_an_upload_that_breaks_off_keeps_what_was_there(
    proxy: Proxy, blobs: S3Blobs, direct: S3Blobs
) -> None:
    proxy.cut_up_after = 300_000

    with pytest.raises(StorageError):
        blobs.put(key(OTHER), os.urandom(1 * MB), "image/png")
    assert_nothing_changed(direct)


def test_a_download_that_breaks_off_is_no_blob(proxy: Proxy, blobs: S3Blobs, direct: S3Blobs) -> None:
    direct.put(key(), os.urandom(1 * MB), "image/png")
    proxy.cut_down_after = 300_000

    with pytest.raises(StorageError):
        blobs.get(key())
    with pytest.raises(StorageError):
        blobs.read(key(), 0, 1 * MB)


def test_what_is_damaged_on_the_way_up_is_refused(proxy: Proxy, blobs: S3Blobs, direct: S3Blobs) -> None:
    proxy.flip = b"fragile"

    with pytest.raises(StorageError, match="answered 400"):
        blobs.put(key(), b"x" * 500 + b"fragile" + b"x" * 500, "image/png")
    assert_nothing_changed(direct)


def test_what_is_damaged_on_the_way_down_is_noticed(proxy: Proxy, blobs: S3Blobs, direct: S3Blobs) -> None:
    direct.put(key(), b"x" * 500 + b"fragile" + b"x" * 500, "image/png")
    proxy.flip = b"fragile"

    with pytest.raises(StorageError, match="damaged"):
        blobs.get(key())


def test_an_answer_that_got_lost_does_not_make_a_created_blob_a_stranger_s(
    proxy: Proxy, blobs: S3Blobs, direct: S3Blobs
) -> None:
    """The store has it, the writer does not know: the same bytes again are not in conflict."""
    proxy.cut_down_after = 0
    with pytest.raises(StorageError):
        blobs.create(key(), b"made", "image/png")
    assert direct.get(key()) == b"made"
    proxy.cut_down_after = None

    blobs.create(key(), b"made", "image/png")

    assert direct.get(key()) == b"made"


def test_retries_are_few(proxy: Proxy, blobs: S3Blobs) -> None:
    proxy.status = "500 Internal Server Error"

    with pytest.raises(StorageError):
        blobs.get(key(OTHER))
    assert 1 <= proxy.connections <= 3


def test_a_store_that_is_back_is_used_again(proxy: Proxy, blobs: S3Blobs) -> None:
    proxy.status = "500 Internal Server Error"
    with pytest.raises(StorageError):
        blobs.put(key(), b"x", "image/png")
    proxy.status = ""

    blobs.put(key(), b"x", "image/png")

    assert blobs.get(key()) == b"x"
