"""A book after payment: all pages, proof, approval, print files, events, callbacks, and its deletion."""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import httpx2
import pypdfium2
import pytest

from tests.access.support import ADMIN_KEY
from tests.books.http.support import (
    CHILD,
    FACE_PAGE,
    MADE,
    MOST_PAGE,
    NAME,
    PLAIN_PAGE,
    Parent,
    book_server,
    open_shop,
    picture,
    refused_move,
)
from tests.conftest import Server
from tests.http.support import Receiver, problem, running_receiver, until

PAGES = [*range(1, MOST_PAGE + 1), 1001, 1002]


@dataclass
class Whole:
    parent: Parent
    preview: bytes
    """The first page as it was in the preview."""
    receiver: Receiver


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that may call this machine."""
    auth = {"admin_key": ADMIN_KEY, "password_memory_mb": 8}
    folder = tmp_path_factory.mktemp("whole")
    with book_server(folder, full_size=True, auth=auth, allow_networks=["127.0.0.0/8"]) as server:
        server.client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
        yield server


@pytest.fixture(scope="module")
def whole(books: Server, receiver: Receiver) -> Whole:
    """A book that is unlocked and approved."""
    parent = open_shop(books).parent("ann")
    endpoint = {"url": receiver.url.replace("/hook", "/endpoint")}
    assert books.client.post("/api/v1/webhooks", json=endpoint, headers=shop_itself(parent)).is_success
    parent.start(callbackUrl=receiver.url)
    parent.wait("reference_ready")
    parent.post("/reference/approve")
    parent.post("/generate", CHILD)
    parent.wait("preview_ready")
    preview = parent.ask("GET", f"/pages/{FACE_PAGE}/picture").content
    parent.post("/unlock", headers=parent.paid)
    # The shop repeats its request, as it does after a lost answer.
    parent.post("/unlock", headers=parent.paid)
    parent.wait("proof_ready", seconds=240)
    parent.post("/approve", {"who": "parent@example.org"})
    parent.wait("completed")
    return Whole(parent, preview, receiver)


def shop_itself(parent: Parent) -> dict[str, str]:
    """Return the headers of the account that the parent is an end user of."""
    return {"Authorization": parent.headers["Authorization"]}


def test_every_page_and_file_is_there(whole: Whole):
    book = whole.parent.get()
    assert book["state"] == "completed"
    assert [page["page"] for page in book["pages"]][: len(PAGES)] == PAGES
    assert {page["state"] for page in book["pages"]} == {"ready"}
    assert [file["kind"] for file in book["files"]] == ["pdf", "cover", "spreads", "proof", "zip"]
    assert book["referenceApproved"]
    for page in (FACE_PAGE, PLAIN_PAGE):
        assert picture(whole.parent.ask("GET", f"/pages/{page}/picture")).size == (1080, 1080)


def test_the_book_says_how_it_is_bound(whole: Whole):
    bound = whole.parent.get()["bound"]
    assert (bound["widthMm"], bound["heightMm"], bound["cover"]) == (209.55, 209.55, "soft")
    assert bound["order"] == [*range(1, MOST_PAGE + 1), None, None]
    assert bound["spineMm"] > 0


def test_what_was_in_the_preview_is_what_is_printed(whole: Whole):
    assert whole.parent.ask("GET", f"/pages/{FACE_PAGE}/picture").content == whole.preview
    approval = whole.parent.get("/approval")
    first = approval["pages"][0]
    assert (first["page"], first["version"]) == (FACE_PAGE, 1)
    services = whole.parent.server.app.services
    jobs = services.jobs.list_jobs(_all_jobs())
    pictures = [job.id for job in jobs if job.recipe == "bookPicture" and job.input.get("page") == FACE_PAGE]
    assert len(pictures) == 1  # it was made once, before payment
    kept = [blob.key for blob in services.blobs.list("books/") if whole.parent.id in blob.key]
    assert first["pictureSha256"] in {sha256(services.blobs.get(key)).hexdigest() for key in kept}


def _all_jobs() -> Any:
    from imagemill.jobs.store.queries import Filter

    return Filter(owner=None, limit=500)


@pytest.mark.parametrize("name", ["pdf", "cover.pdf", "spreads.pdf", "proof.pdf"])
def test_the_files_are_pdfs_and_have_links(whole: Whole, name: str):
    answer = whole.parent.ask("GET", f"/{name}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"].startswith("inline; filename=")
    assert "max-age=0" in answer.headers["cache-control"]
    pages = len(pypdfium2.PdfDocument(answer.content))
    assert pages == 24 if name == "pdf" else pages > 0
    kind = name.partition(".")[0]
    file = next(each for each in whole.parent.get()["files"] if each["kind"] == kind)
    assert httpx2.get(file["url"]).content == answer.content
    assert (file["size"], file["sha256"]) == (len(answer.content), sha256(answer.content).hexdigest())
    again = whole.parent.ask("GET", f"/{name}", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_the_pages_come_as_a_zip(whole: Whole):
    answer = whole.parent.ask("GET", "/zip")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = archive.namelist()
        assert names[:2] == ["page-001.jpeg", "page-002.jpeg"]
        assert {"cover-front.jpeg", "cover-back.jpeg"} <= set(names)
        assert archive.read(names[0]) == whole.preview
    assert whole.parent.ask("GET", "/zip").content == answer.content
    link = next(file["url"] for file in whole.parent.get()["files"] if file["kind"] == "zip")
    assert httpx2.get(link).content == answer.content
    assert httpx2.head(link).headers["content-length"] == str(len(answer.content))


def test_the_approval_says_who_and_until_when_it_may_change(whole: Whole):
    approval = whole.parent.get("/approval")
    assert (approval["number"], approval["who"]) == (1, "parent@example.org")
    assert [page["page"] for page in approval["pages"]][: len(PAGES)] == PAGES
    assert approval["changeUntil"] > approval["at"]


def test_approving_twice_is_one_approval(whole: Whole):
    whole.parent.post("/approve", {"who": "parent@example.org"})
    assert whole.parent.get("/approval")["number"] == 1


def test_events_tell_of_each_step_once(whole: Whole):
    events = whole.parent.get("/events", stream="false")["items"]
    types = [event["type"] for event in events]
    assert types[0] == "photo.accepted"
    once = ("reference.ready", "preview.ready", "unlocked", "proof.ready", "approved", "completed")
    assert [types.count(each) for each in once] == [1] * len(once)
    assert [types.index(each) for each in once] == sorted(types.index(each) for each in once)
    ready = [event["data"]["page"] for event in events if event["type"] == "page.ready"]
    assert sorted(each for each in ready if each < 1100) == PAGES
    rest = whole.parent.get("/events", stream="false", after=events[-1]["id"])["items"]
    assert len(rest) < len(events)


def streamed(parent: Parent, seen: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the ids and bodies of the events of a stream."""
    headers = {**parent.headers, **({"Last-Event-ID": seen} if seen else {})}
    path = f"{MADE}/{parent.id}/events"
    with parent.server.client.stream("GET", path, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        id_ = ""
        for line in answer.iter_lines():
            field, _, value = line.partition(": ")
            if field == "id":
                id_ = value
            elif field == "data" and id_:
                yield id_, json.loads(value)
                id_ = ""


def test_a_stream_is_resumed_after_the_last_event(whole: Whole):
    listed = [event["id"] for event in whole.parent.get("/events", stream="false")["items"]]
    stream = streamed(whole.parent)
    assert [next(stream)[0] for _ in range(len(listed))] == listed
    half = listed[len(listed) // 2]
    resumed = streamed(whole.parent, half)
    seen = []
    while not seen or seen[-1] != listed[-1]:
        seen.append(next(resumed)[0])
    assert half not in seen
    assert set(listed[len(listed) // 2 + 1 :]) <= set(seen)
    answer = whole.parent.ask("GET", "/events", headers={"Last-Event-ID": "first"})
    assert list(problem(answer, 400)["errors"]) == ["Last-Event-ID"]


def test_callbacks_and_webhooks_tell_of_the_same_events_without_the_child(whole: Whole):
    wanted = {"reference.ready", "page.ready", "proof.ready", "completed"}

    def bodies() -> list[dict[str, Any]]:
        return [body for status, body, _ in whole.receiver.calls if status == 200]

    def messages() -> list[dict[str, Any]]:
        return [body for body in bodies() if body.get("type") == "job.succeeded"]

    until(lambda: wanted <= {body.get("type") for body in bodies()}, 30)
    done = next(body for body in bodies() if body.get("type") == "completed")
    assert (done["state"], done["done"], done["total"]) == ("completed", done["total"], done["total"])
    assert done["personalization"] == whole.parent.id
    until(
        lambda: done["id"] in {(body["data"]["book"] or {}).get("id") for body in messages()}, 120
    )  # a retry takes some seconds
    everything = json.dumps([body for _, body, _ in whole.receiver.calls])
    assert NAME not in everything
    assert "/blobs/" not in everything
    assert "/picture" not in everything


def test_nothing_of_the_child_stands_in_jobs_and_events(whole: Whole):
    client, headers = whole.parent.server.client, whole.parent.headers
    jobs = client.get("/api/v1/jobs", headers=headers, params={"limit": 500}).json()["items"]
    assert len(jobs) > 2 * len(PAGES)
    events = [
        client.get(f"/api/v1/jobs/{job['id']}/events", headers=headers, params={"stream": "false"}).text
        for job in jobs
    ]
    assert NAME not in json.dumps(jobs)
    assert NAME not in "".join(events)


def test_a_deleted_book_leaves_a_tombstone_and_no_file(books: Server, receiver: Receiver):
    parent = open_shop(books).parent("zoe")
    parent.with_preview()
    link = parent.get(f"/pages/{FACE_PAGE}")["url"]
    jobs = parent.server.client.get("/api/v1/jobs", headers=parent.headers).json()["items"]
    assert parent.ask("DELETE").status_code == 200
    blobs = books.app.services.blobs
    until(lambda: not [blob for blob in blobs.list("books/") if parent.id in blob.key], 60)
    tomb = until(lambda: (book := parent.get())["deletion"]["erasedAt"] and book, 60)
    assert tomb["deletedAt"]
    assert (tomb["child"], tomb["pages"], tomb["files"], tomb["analyses"]) == (None, [], [], [])
    assert NAME not in json.dumps(tomb)
    assert httpx2.get(link).status_code == 404
    for path in ("/reference", f"/pages/{FACE_PAGE}", f"/pages/{FACE_PAGE}/picture", "/approval"):
        problem(parent.ask("GET", path), 404)
    for path in ("/reference/redraw", "/unlock"):
        refused_move(parent.ask("POST", path, headers=parent.paid))
    left = parent.server.client.get("/api/v1/jobs", headers=parent.headers).json()["items"]
    assert not {job["id"] for job in left} & {job["id"] for job in jobs}
    events = parent.get("/events", stream="false")["items"]
    assert events[-1]["type"] == "deleted"
    assert parent.ask("DELETE").status_code == 200
