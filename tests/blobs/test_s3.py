"""Blobs on a real SeaweedFS: the contract of every store, and what is a bucket's own."""

import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from imagemill.blobs.base import BlobStore
from imagemill.blobs.s3 import S3Blobs
from imagemill.domain.errors import Conflict, StorageError
from tests.blobs.contract import BlobStoreContract, key
from tests.seaweed import Seaweed

MB = 2**20


def build(seaweed: Seaweed, **changes: Any) -> S3Blobs:
    """A store below a prefix nobody else has."""
    return S3Blobs(seaweed.settings(**{"prefix": f"t/{secrets.token_hex(6)}", **changes}))


@pytest.fixture
def blobs(seaweed: Seaweed) -> S3Blobs:
    return build(seaweed)


class TestS3Blobs(BlobStoreContract):
    @pytest.fixture
    def blobs(self, seaweed: Seaweed) -> BlobStore:
        return build(seaweed)


class TestS3BlobsInParts(BlobStoreContract):
    """As the contract is held where nothing is written under a condition."""

    @pytest.fixture
    def blobs(self, seaweed: Seaweed) -> BlobStore:
        return build(seaweed, conditional_put=False)

    def test_of_many_who_create_one_key_one_wins(self, blobs: BlobStore) -> None:
        """Without conditions any of those who write at the same moment wins, but whole and only one."""
        contents = [bytes([number]) * 1000 for number in range(4)]
        with ThreadPoolExecutor() as pool:
            done = [pool.submit(blobs.create, "jobs/j/1/0.png", each, "image/png") for each in contents]
        assert all(isinstance(each.exception(), (Conflict, type(None))) for each in done)
        assert blobs.get("jobs/j/1/0.png") in contents


def test_two_prefixes_of_a_bucket_do_not_see_each_other(seaweed: Seaweed) -> None:
    one, other = build(seaweed), build(seaweed)
    one.put(key(), b"one", "image/png")

    assert list(other.list("jobs/")) == []
    other.delete([key()])
    assert one.get(key()) == b"one"


def test_more_blobs_than_a_page_are_listed_and_deleted(blobs: S3Blobs) -> None:
    keys = {key(position=number) for number in range(1010)}
    for each in keys:
        blobs.put(each, b"", "image/png")

    assert {blob.key for blob in blobs.list("jobs/")} == keys
    blobs.delete(keys)
    assert list(blobs.list("jobs/")) == []


def test_a_large_blob_goes_up_in_parts_and_is_whole(blobs: S3Blobs) -> None:
    data = os.urandom(21 * MB)
    blobs.create(key(), data, "video/mp4")
    url = blobs.presign("HEAD", key(), 60)

    assert blobs.get(key()) == data
    assert url is not None
    assert httpx2.head(url).headers["etag"].strip('"').endswith("-3")
    blobs.create(key(), data, "video/mp4")
    with pytest.raises(Conflict):
        blobs.create(key(), data[:-1] + b"?", "video/mp4")


def test_a_presigned_url_says_what_the_blob_is(blobs: S3Blobs) -> None:
    blobs.put(key(), b"0123456789", "image/png")
    url = blobs.presign("GET", key(), 60)
    assert url is not None
    whole, part = httpx2.get(url, verify=False), httpx2.get(url, headers={"Range": "bytes=2-4"}, verify=False)

    assert (whole.status_code, whole.content) == (200, b"0123456789")
    assert whole.headers["content-type"] == "image/png"
    assert "immutable" in whole.headers["cache-control"]
    assert "content-disposition" not in whole.headers
    assert (part.status_code, part.content) == (206, b"234")


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "application/octet-stream"])
def test_what_a_browser_might_run_is_saved_instead(blobs: S3Blobs, media_type: str) -> None:
    blobs.put(key(), b"<script>", media_type)
    url = blobs.presign("GET", key(), 60)
    assert url is not None

    assert httpx2.get(url, verify=False).headers["content-disposition"] == "attachment"


def test_a_presigned_url_is_for_one_blob_and_one_method(blobs: S3Blobs) -> None:
    for position in range(2):
        blobs.put(key(position=position), b"x", "image/png")
    url = blobs.presign("GET", key(), 60)
    assert url is not None

    assert httpx2.get(url.replace("/0.png", "/1.png"), verify=False).status_code == 403
    assert httpx2.put(url, content=b"y", verify=False).status_code == 403
    assert httpx2.get(url.partition("?")[0], verify=False).status_code == 403
    assert blobs.get(key()) == b"x"


def test_a_presigned_put_uploads_a_blob(blobs: S3Blobs) -> None:
    url = blobs.presign("PUT", "inputs/ab/up.png", 60)
    assert url is not None

    assert httpx2.put(url, content=b"uploaded", verify=False).status_code == 200
    assert blobs.get("inputs/ab/up.png") == b"uploaded"


def test_what_was_uploaded_by_others_without_a_digest_is_still_not_replaced(blobs: S3Blobs) -> None:
    url = blobs.presign("PUT", key(), 60)
    assert url is not None
    httpx2.put(url, content=b"uploaded", verify=False)

    blobs.create(key(), b"uploaded", "image/png")
    with pytest.raises(Conflict):
        blobs.create(key(), b"other", "image/png")


def test_clients_are_given_the_public_address(seaweed: Seaweed) -> None:
    public = f"http://localhost:{seaweed.port}"
    blobs = build(seaweed, public_endpoint=public)
    blobs.put(key(), b"x", "image/png")
    url = blobs.presign("GET", key(), 60)
    assert url is not None

    assert url.startswith(f"{public}/{seaweed.bucket}/t/")
    assert httpx2.get(url, verify=False).content == b"x"


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"endpoint": None}, "https://s3.eu-central-1.amazonaws.com/mill/jobs/"),
        ({"endpoint": None, "path_style": False}, "https://mill.s3.eu-central-1.amazonaws.com/jobs/"),
        ({"endpoint": "https://store.example:9000/"}, "https://store.example:9000/mill/jobs/"),
        (
            {"endpoint": "https://store.example:9000", "path_style": False},
            "https://mill.store.example:9000/jobs/",
        ),
        (
            {"endpoint": None, "r2_account_id": "0a" * 16},
            f"https://{'0a' * 16}.r2.cloudflarestorage.com/mill/jobs/",
        ),
    ],
)
def test_a_bucket_is_addressed_in_its_store_s_way(changes: dict[str, Any], start: str) -> None:
    blobs = S3Blobs(Seaweed(1).settings(region="eu-central-1", **changes))
    url = blobs.presign("GET", key(), 60)
    assert url is not None

    assert url.startswith(start)
    assert "%2Feu-central-1%2Fs3%2F" in url


def test_a_ping_works_and_is_not_made_at_every_call(seaweed: Seaweed) -> None:
    now = 0.0
    blobs = S3Blobs(seaweed.settings(prefix=f"t/{secrets.token_hex(6)}"), lambda: now)
    blobs.ping()
    assert [blob.key for blob in blobs.list("health/")] == ["health/marker"]

    blobs.delete(["health/marker"])
    blobs.ping()
    assert list(blobs.list("health/")) == []

    now = 60.0
    blobs.ping()
    assert [blob.key for blob in blobs.list("health/")] == ["health/marker"]


def test_a_wrong_secret_is_told_without_it(seaweed: Seaweed) -> None:
    blobs = build(seaweed, secret_access_key="a-wrong-secret")

    for act in (
        lambda: blobs.put(key(), b"x", "image/png"),
        lambda: blobs.create(key(), b"x", "image/png"),
        lambda: blobs.get(key()),
        lambda: blobs.read(key(), 0, 1),
        lambda: blobs.delete([key()]),
        lambda: list(blobs.list("jobs/")),
        blobs.ping,
    ):
        with pytest.raises(StorageError, match="403 Forbidden") as caught:
            act()
        assert "wrong-secret" not in str(caught.value)
        assert seaweed.key not in str(caught.value)


def test_a_bucket_that_is_not_there_is_no_absent_blob(seaweed: Seaweed) -> None:
    blobs = build(seaweed, bucket="nowhere")

    with pytest.raises(StorageError, match="NoSuchBucket"):
        blobs.get(key())
    with pytest.raises(StorageError, match="NoSuchBucket"):
        blobs.read(key(), 0, 1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # it is what is tested
def test_a_store_that_was_used_before_a_fork_is_refused_after_it(blobs: S3Blobs) -> None:
    """Its client would hang in the child."""
    blobs.put(key(), b"x", "image/png")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            blobs.get(key())
            os.write(writer, b"no error")
        except StorageError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    assert b"open it after the fork" in os.read(reader, 1000)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"secret_access_key": None}, "belong together"),
        ({"access_key_id": None}, "belong together"),
        ({"ca_file": "/nowhere/ca.pem"}, "/nowhere/ca.pem"),
    ],
)
def test_settings_that_do_not_fit_are_refused_at_once(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(StorageError, match=reason):
        S3Blobs(Seaweed(1).settings(**changes))
