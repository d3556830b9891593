"""Civitai v2's blobs: uploads, and the files of jobs by id, by signed URL and by content token."""

import io
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from PIL import Image

from imagemill.bootstrap import build
from imagemill.bootstrap.application import Roles
from imagemill.domain.access import Scope
from imagemill.domain.blob_keys import OutputId, blob_id, owner_hash, parse_blob_id
from imagemill.domain.blob_urls import grant
from imagemill.domain.clock import now_us
from imagemill.domain.signing import UrlSigner
from tests.access.support import ask, bearer, guarded, key
from tests.conftest import SD1, Server
from tests.http.support import first, problem
from tests.media.files import animation, picture, turned

BLOBS = "/v2/consumer/blobs"
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z"


def get(url: str, **options: Any) -> httpx2.Response:
    """Without a key."""
    return httpx2.get(url, verify=False, **options)


def upload(server: Server, data: bytes, media_type: str = "image/png", **query: str) -> httpx2.Response:
    headers = {"Content-Type": media_type}
    return server.client.post(BLOBS, content=data, headers=headers, params=query)


def made(server: Server) -> str:
    """The blob id of a finished picture."""
    return blob_id(first(server.submit(wait="true"))["jobId"], 0, "png")


def refreshed(server: Server, id_: str) -> dict[str, Any]:
    answer = server.client.post(f"{BLOBS}/{id_}/refresh")
    assert answer.status_code == 200, answer.text
    return answer.json()


# Uploads


def test_an_upload_is_a_blob(server: Server):
    answer = upload(server, picture("JPEG"), "image/jpeg")
    blob = answer.json()
    assert answer.status_code == 201
    assert re.fullmatch(r"[0-9a-f]{64}\.jpeg", blob["id"])
    assert blob == {
        "type": "image",
        "id": blob["id"],
        "available": True,
        "url": blob["url"],
        "urlExpiresAt": blob["urlExpiresAt"],
        "width": 40,
        "height": 30,
    }
    assert re.fullmatch(INSTANT, blob["urlExpiresAt"])
    assert get(blob["url"], follow_redirects=True).headers["content-type"] == "image/jpeg"


def test_what_is_stored_is_what_the_bytes_are_and_upright(server: Server):
    blob = upload(server, turned("JPEG", 6), "image/png", public="true").json()
    image = Image.open(io.BytesIO(get(blob["url"], follow_redirects=True).content))
    assert (image.format, image.size) == ("JPEG", (blob["width"], blob["height"]))
    assert not image.getexif()


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (animation("GIF"), 415, "a GIF"),
        (b"", 415, "empty"),
        (picture()[:-20], 422, "the file ends"),
    ],
    ids=["gif", "nothing", "cut"],
)
def test_a_file_that_cannot_be_used_is_refused(server: Server, data: bytes, status: int, said: str):
    assert said in problem(upload(server, data), status)["errors"]["body"][0]


def test_an_upload_may_be_larger_than_other_bodies_and_not_larger_than_pictures(
    make_server: Callable[..., Server],
):
    server = make_server(limit={"body_bytes": 2000, "input_bytes": 100_000})
    noise = picture("PNG", size=(80, 80), mode="RGB")
    assert upload(server, noise + bytes(200_000)).status_code == 413
    assert server.client.post("/v1/consumer/jobs", content=bytes(3000)).status_code == 413
    assert upload(server, noise).status_code == 201


def test_a_signed_url_takes_an_upload_without_a_key(make_server: Callable[..., Server]):
    server = guarded(make_server)
    token = key(server, "ann")
    answer = ask(server, token, "GET", f"{BLOBS}/upload").json()
    assert set(answer) == {"uploadUrl", "expiresAt"}
    assert re.fullmatch(INSTANT, answer["expiresAt"])
    assert answer["uploadUrl"].startswith(f"{server.url}{BLOBS}?")

    sent = httpx2.post(answer["uploadUrl"], content=picture(), verify=False)
    assert sent.status_code == 201
    assert ask(server, token, "HEAD", f"{BLOBS}/{sent.json()['id']}").status_code == 204
    other = key(server, "bob")
    assert ask(server, other, "HEAD", f"{BLOBS}/{sent.json()['id']}").status_code == 404


def test_a_wrong_upload_url_takes_nothing(make_server: Callable[..., Server]):
    server = guarded(make_server)
    token = key(server, "ann")
    url = ask(server, token, "GET", f"{BLOBS}/upload").json()["uploadUrl"]
    query = parse_qs(urlsplit(url).query)
    owner, _, signature = query["sig"][0].partition(".")
    bobs = ask(server, key(server, "bob"), "GET", f"{BLOBS}/upload").json()["uploadUrl"]
    for changes in (
        {"sig": f"{owner}.{'0' * len(signature)}"},
        {"sig": f"{parse_qs(urlsplit(bobs).query)['sig'][0].partition('.')[0]}.{signature}"},
        {"sig": signature},
        {"sig": "\N{SNOWMAN}.x"},
        {"sig": ""},
        {"exp": "99999999999"},
        {"exp": "1"},
    ):
        sent = {"exp": query["exp"][0], "sig": query["sig"][0], **changes}
        answer = httpx2.post(f"{server.url}{BLOBS}", params=sent, content=picture(), verify=False)
        assert f"GET {BLOBS}/upload" in problem(answer, 403)["detail"], changes
    assert httpx2.post(f"{server.url}{BLOBS}", content=picture(), verify=False).status_code == 401


def test_the_upload_url_of_a_disabled_account_takes_nothing(make_server: Callable[..., Server]):
    server = guarded(make_server)
    url = ask(server, key(server, "ann"), "GET", f"{BLOBS}/upload").json()["uploadUrl"]
    server.client.patch("/api/v1/owners/ann", json={"disabled": True}).raise_for_status()
    assert "disabled" in problem(httpx2.post(url, content=picture(), verify=False), 403)["detail"]


def test_a_key_that_may_not_submit_gets_no_upload_url(make_server: Callable[..., Server]):
    server = guarded(make_server)
    reading = key(server, "ann", scopes=frozenset({Scope.JOBS_READ}))
    assert ask(server, reading, "GET", f"{BLOBS}/upload").status_code == 403
    assert ask(server, reading, "POST", BLOBS, content=picture()).status_code == 403


# Blobs by id


@pytest.fixture(scope="module")
def finished(server: Server) -> str:
    return made(server)


@pytest.fixture(scope="module")
def uploaded(server: Server) -> str:
    return upload(server, picture()).json()["id"]


@pytest.fixture(params=["finished", "uploaded"])
def id_(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


def test_a_blob_is_redirected_to_its_content(server: Server, id_: str):
    answer = server.client.get(f"{BLOBS}/{id_}")
    assert (answer.status_code, answer.content) == (308, b"")
    assert answer.headers["location"].startswith(f"{server.url}{BLOBS}/content/")
    left = re.fullmatch(r"private, max-age=(\d+)", answer.headers["cache-control"])
    assert left
    assert 3000 < int(left[1]) <= 3660

    content = get(answer.headers["location"])
    assert content.status_code == 200
    assert content.headers["content-type"] == "image/png"
    assert content.headers["access-control-allow-origin"] == "*"
    assert "immutable" in content.headers["cache-control"]
    assert Image.open(io.BytesIO(content.content)).format == "PNG"


def test_the_url_of_an_answer_needs_no_key(server: Server, id_: str):
    url = refreshed(server, id_)["url"]
    assert get(url).status_code == 308
    assert get(url, follow_redirects=True).status_code == 200
    assert httpx2.head(url, verify=False).status_code == 204
    # The redirect is valid for as long as the URL it came from, and no longer.
    assert parse_qs(urlsplit(url).query)["exp"][0] in get(url).headers["location"]


def test_content_has_ranges_and_is_not_sent_twice(server: Server, finished: str):
    url = server.client.get(f"{BLOBS}/{finished}").headers["location"]
    whole = get(url)
    part = get(url, headers={"Range": "bytes=4-9"})
    assert (part.status_code, part.content) == (206, whole.content[4:10])
    again = get(url, headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = httpx2.head(url, verify=False)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(whole.content)))


def test_a_wrong_signature_opens_nothing(server: Server, id_: str):
    url = refreshed(server, id_)["url"]
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    for changes in (
        {"sig": "0" * len(query["sig"])},
        {"sig": query["sig"].upper() + "0"},
        {"sig": ""},
        {"exp": str(int(query["exp"]) + 60)},
        {"exp": "x"},
    ):
        answer = get(f"{server.url}{parts.path}", params={**query, **changes})
        assert "has expired" in problem(answer, 403)["detail"], changes
    token = get(url).headers["location"].rpartition("/")[2]
    expires, signature, name = token.split(".", 2)
    for wrong in (
        f"1{token}",
        f"{expires}.0{signature}.{name}",
        f"{expires}.{name}",
        f"{signature}.{name}",
        "x",
    ):
        assert get(f"{server.url}{BLOBS}/content/{wrong}").status_code == 403, wrong
        assert get(f"{server.url}{BLOBS}/archive/{wrong}").status_code == 403, wrong


def test_the_signature_of_one_upload_opens_no_other(server: Server, uploaded: str):
    other = upload(server, picture("WEBP")).json()
    query = urlsplit(refreshed(server, uploaded)["url"]).query
    assert get(f"{server.url}{BLOBS}/{other['id']}?{query}").status_code == 403


@pytest.mark.parametrize(
    ("query", "disposition"),
    [
        ({}, None),
        ({"download": "true"}, "attachment"),
        ({"filename": "fox.png"}, 'inline; filename="fox.png"'),
        ({"filename": "../a/b\\fox.png", "download": "true"}, 'attachment; filename="fox.png"'),
        ({"filename": 'a"\r\nSet-Cookie: x.png'}, 'inline; filename="aSet-Cookie: x.png"'),
        ({"filename": "füchse.png"}, "inline; filename=\"f_chse.png\"; filename*=UTF-8''f%C3%BCchse.png"),
        ({"filename": "..", "download": "false"}, None),
    ],
)
def test_a_name_and_a_download_are_asked_for(
    server: Server, id_: str, query: dict[str, str], disposition: str | None
):
    answer = server.client.get(f"{BLOBS}/{id_}", params=query, follow_redirects=True)
    assert answer.status_code == 200
    assert answer.headers.get("content-disposition") == disposition


def test_parameters_that_have_no_effect_and_unknown_ones_are_accepted(server: Server, finished: str):
    query = {"workflowId": "1-2", "nsfwLevel": "pg13", "other": "x"}
    assert server.client.get(f"{BLOBS}/{finished}", params=query).status_code == 308


@pytest.mark.parametrize(
    "id_",
    ["x", "01JBST8000E00800000000007Z.png", f"{'ab' * 32}.png", "01JBST8000E00800000000007Z", "a" * 3000],
)
def test_what_does_not_exist_is_a_404(server: Server, id_: str):
    assert "there is no blob" in problem(server.client.get(f"{BLOBS}/{id_}"), 404)["detail"]
    assert server.client.head(f"{BLOBS}/{id_}").status_code == 404
    assert problem(server.client.post(f"{BLOBS}/{id_}/refresh"), 404)


def test_a_picture_that_is_not_made_yet_is_a_404(make_server: Callable[..., Server]):
    server = make_server(roles=Roles(scheduler=False, worker=False))
    job_id = first(server.submit())["jobId"]
    assert "not made yet" in problem(server.client.get(f"{BLOBS}/{blob_id(job_id, 0, 'png')}"), 404)["detail"]


def test_the_blobs_of_other_owners_do_not_exist(make_server: Callable[..., Server]):
    server = guarded(make_server)
    ann, bob = key(server, "ann"), key(server, "bob")
    accepted = ask(
        server, ann, "POST", "/v1/consumer/jobs?wait=true", json={"$type": "textToImage", "model": SD1,
        "params": {"prompt": "a fox", "width": 64, "height": 64, "steps": 1}},
    )  # fmt: skip
    ids = [
        blob_id(first(accepted)["jobId"], 0, "png"),
        ask(server, ann, "POST", BLOBS, content=picture()).json()["id"],
    ]
    for id_ in ids:
        assert ask(server, ann, "GET", f"{BLOBS}/{id_}").status_code == 308
        assert ask(server, bob, "GET", f"{BLOBS}/{id_}").status_code == 404
        assert ask(server, bob, "HEAD", f"{BLOBS}/{id_}").status_code == 404
        assert ask(server, bob, "POST", f"{BLOBS}/{id_}/refresh").status_code == 404
        assert ask(server, None, "GET", f"{BLOBS}/{id_}").status_code == 401
        # The key of somebody else does no harm to a URL that needs none, and adds nothing to it.
        url = ask(server, ann, "POST", f"{BLOBS}/{id_}/refresh").json()["url"]
        assert get(url).status_code == 308
        assert get(url, headers=bearer(bob)).status_code == 404


# Retention


def test_a_refresh_restarts_the_retention(server: Server, finished: str):
    jobs = server.app.stores.jobs
    found = parse_blob_id(finished)
    assert isinstance(found, OutputId)
    artifact = jobs.view(found.job_id).artifacts[0]
    before = now_us()
    blob = refreshed(server, finished)
    assert blob == {
        "type": "image",
        "id": finished,
        "available": True,
        "url": blob["url"],
        "urlExpiresAt": blob["urlExpiresAt"],
        "jobId": found.job_id,
        "width": 64,
        "height": 64,
    }
    assert jobs.kept_from({artifact.blob_key: found.job_id})[artifact.blob_key][1] >= before


def test_a_refresh_restarts_the_retention_of_an_upload(server: Server, uploaded: str):
    (before,) = [blob for blob in server.app.blobs.list("inputs/") if blob.key.endswith(uploaded)]
    assert refreshed(server, uploaded)["id"] == uploaded
    (after,) = [blob for blob in server.app.blobs.list("inputs/") if blob.key.endswith(uploaded)]
    assert after.modified_at > before.modified_at


def test_a_deleted_file_is_a_404_and_cannot_be_renewed(server: Server):
    id_ = made(server)
    found = parse_blob_id(id_)
    assert isinstance(found, OutputId)
    url = refreshed(server, id_)["url"]
    content = get(url).headers["location"]
    server.app.stores.jobs.mark_files_deleted(
        [server.app.stores.jobs.view(found.job_id).artifacts[0].blob_key]
    )
    assert get(url).status_code == 404
    assert "retention" in problem(get(content), 404)["detail"]
    assert server.client.head(f"{BLOBS}/{id_}").status_code == 404
    assert problem(server.client.post(f"{BLOBS}/{id_}/refresh"), 404)
    assert problem(get(content.replace("/content/", "/archive/")), 410)


# Archives


def test_an_archive_is_saved_by_its_token(server: Server, finished: str):
    url = server.client.get(f"{BLOBS}/{finished}").headers["location"].replace("/content/", "/archive/")
    answer = get(url, params={"filename": "all.zip"})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == 'attachment; filename="all.zip"'
    assert get(url.replace("archive/", "archive/1")).status_code == 403


def test_expired_urls_say_so(make_server: Callable[..., Server]):
    server = make_server(url_life_s=1)
    id_ = upload(server, picture()).json()["id"]
    signer = UrlSigner(build.signing_key(server.app.settings), life_s=-120)
    expired = grant(signer, id_, owner_hash(server.app.settings.owner))
    assert problem(get(f"{server.url}{BLOBS}/{id_}?{expired.query}"), 403)
    assert problem(get(f"{server.url}{BLOBS}/content/{expired.token}"), 403)
    assert "has expired" in problem(get(f"{server.url}{BLOBS}/archive/{expired.token}"), 410)["detail"]


# As sources


def run(server: Server, image: str, token: str | None = None) -> httpx2.Response:
    headers = bearer(token) if token else None
    input_ = {"model": SD1, "prompt": "a sea", "image": image, "width": 64, "height": 64, "steps": 2}
    return server.client.post(
        "/api/v1/jobs", json={"recipe": "textToImage", "input": input_}, headers=headers
    )


@pytest.mark.parametrize("form", ["id", "blob:", "url", "content", "expired", "v1"])
def test_a_blob_is_a_source(server: Server, id_: str, form: str):
    url = refreshed(server, id_)["url"]
    content = get(url).headers["location"]
    signer = UrlSigner(build.signing_key(server.app.settings), life_s=-120)
    old = grant(signer, id_, owner_hash(server.app.settings.owner))
    image = {
        "id": id_,
        "blob:": f"blob:{id_}",
        "url": url,
        "content": content,
        "expired": f"https://another.host{BLOBS}/{id_}?{old.query}",
        "v1": _older_url(server, id_),
    }[form]
    submitted = run(server, image)
    assert submitted.status_code == 201, submitted.text
    assert server.wait(submitted.json()["id"])["status"] == "succeeded"


def _older_url(server: Server, id_: str) -> str:
    """The URL of the same file outside of v2."""
    found = parse_blob_id(id_)
    assert found is not None
    if isinstance(found, OutputId):
        return server.client.get(f"/api/v1/jobs/{found.job_id}").json()["artifacts"][0]["url"]
    return server.client.post("/api/v1/uploads", content=picture()).json()["url"]


def test_the_blob_of_somebody_else_is_no_source(make_server: Callable[..., Server]):
    server = guarded(make_server)
    ann, bob = key(server, "ann"), key(server, "bob")
    blob = ask(server, ann, "POST", BLOBS, content=picture()).json()
    assert run(server, blob["url"], ann).status_code == 201
    assert "no upload of yours" in problem(run(server, blob["id"], bob), 400)["errors"]["input.image"][0]
    # Its URL is one like any other, and this machine's address is not fetched.
    assert "input.image" in problem(run(server, blob["url"], bob), 400)["errors"]
