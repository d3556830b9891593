"""Signed URLs of stored pictures, and which of them are ours."""

import pytest

from imagemill.domain.blob_keys import artifact_id, blob_id, owner_hash
from imagemill.domain.blob_urls import archive_url, grant, grant_in, grant_of, own_picture
from imagemill.domain.signing import UrlSigner

JOB = "0192f3a4-0000-7000-8000-0000000000ff"
OUTPUT = blob_id(JOB, 2, "png")
UPLOAD = f"{'ab' * 32}.webp"
SIGNER = UrlSigner(b"k" * 32, life_s=600)
OLD = UrlSigner(b"k" * 32, life_s=-600)
OTHER = UrlSigner(b"o" * 32, life_s=600)


@pytest.mark.parametrize("name", [OUTPUT, UPLOAD])
def test_a_grant_is_valid_in_each_of_its_forms_until_it_expires(name: str):
    made = grant(SIGNER, name, owner_hash("ann"))
    for found in (grant_of(name, made.expires, made.signature), grant_in(made.token)):
        assert found == made
        assert found.is_valid(SIGNER)
        assert not found.is_ours(OTHER)
    old = grant(OLD, name, owner_hash("ann"))
    assert (old.is_ours(SIGNER), old.is_valid(SIGNER)) == (True, False)


def test_the_upload_of_one_owner_is_not_opened_by_the_hash_of_another():
    made = grant(SIGNER, UPLOAD, owner_hash("ann"))
    digits = made.signature.removeprefix(owner_hash("ann"))
    forged = grant_of(UPLOAD, made.expires, owner_hash("bob") + digits)
    assert forged is not None
    assert not forged.is_ours(SIGNER)
    bare = grant_of(UPLOAD, made.expires, digits.removeprefix("-"))
    assert bare is not None
    assert not bare.is_ours(SIGNER)


@pytest.mark.parametrize("token", ["", "x", "1.2", f"1.zz.{OUTPUT}", f"x.ab.{OUTPUT}", "1.ab.other"])
def test_any_other_text_is_no_token(token: str):
    assert grant_in(token) is None


@pytest.mark.parametrize("signer", [SIGNER, OLD], ids=["new", "expired"])
def test_a_picture_is_found_by_each_of_our_urls(signer: UrlSigner):
    id_, key = artifact_id(JOB, 2), f"inputs/{owner_hash('ann')}/ab/{UPLOAD}"
    output, upload = grant(signer, OUTPUT), grant(signer, UPLOAD, owner_hash("ann"))
    for url, name in (
        (f"https://mill.example/blobs/{id_}.png?{signer.sign(id_).query}", id_),
        (f"https://mill.example/blobs/{key}?{signer.sign(key).query}", UPLOAD),
        (f"/v2/consumer/blobs/{OUTPUT}?{output.query}&filename=a.png", id_),
        (f"http://localhost/v2/consumer/blobs/content/{output.token}", id_),
        (f"http://localhost/v2/consumer/blobs/{UPLOAD}?{upload.query}", UPLOAD),
        (f"http://localhost/v2/consumer/blobs/content/{upload.token}?download=true", UPLOAD),
    ):
        assert own_picture(url, SIGNER) == name, url
        assert own_picture(url, OTHER) is None, url
        assert own_picture(url.replace("?exp=", "?exp=1").replace("content/", "content/1"), SIGNER) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a fox",
        "http://[",
        "https://mill.example/blobs/",
        "https://mill.example/blobs/x?exp=9999999999&sig=\N{SNOWMAN}",
        "https://mill.example/blobs/\ud800?exp=9999999999&sig=0",
        "https://mill.example/v2/consumer/blobs/content/",
        f"https://mill.example/v2/consumer/blobs/{OUTPUT}",
        f"https://mill.example/other/{OUTPUT}?exp=9999999999&sig=0",
    ],
)
def test_any_other_url_is_not_ours(url: str):
    assert own_picture(url, SIGNER) is None


def test_an_archive_has_an_address_with_its_name():
    made = grant(SIGNER, OUTPUT)
    url = f"http://localhost/v2/consumer/blobs/{OUTPUT}?{made.query}"
    assert archive_url(url, "a b.zip") == (
        f"http://localhost/v2/consumer/blobs/archive/{made.token}?filename=a+b.zip"
    )
