"""Pictures that clients upload, for use in jobs."""

import io
from typing import Any

import pytest
from PIL import Image

from tests.conftest import Server
from tests.http.support import problem
from tests.media.files import animation, picture, png, turned

URL = "/api/v1/uploads"


def upload(server: Server, data: bytes, media_type: str = "image/png") -> Any:
    return server.client.post(URL, content=data, headers={"Content-Type": media_type})


def form(server: Server, *files: bytes, **fields: str) -> Any:
    parts = [("file", (f"{index}.exe", data, "text/html")) for index, data in enumerate(files)]
    return server.client.post(URL, files=parts or {"x": ("", b"")}, data=fields)


def run(server: Server, image: str) -> Any:
    input_ = {"model": "urn:air:sd1:checkpoint:civitai:4384@128713", "prompt": "a sea", "image": image}
    body = {"recipe": "textToImage", "input": {**input_, "width": 64, "height": 64, "steps": 2}}
    return server.client.post("/api/v1/jobs", json=body)


def test_an_uploaded_picture_is_named_in_a_job(server: Server):
    answer = upload(server, picture("JPEG"))
    body = answer.json()
    assert answer.status_code == 201, body
    assert (body["width"], body["height"], body["mediaType"]) == (40, 30, "image/jpeg")
    submitted = run(server, f"blob:{body['key']}")
    assert submitted.status_code == 201, submitted.text
    assert server.wait(submitted.json()["id"])["status"] == "succeeded"


def test_its_type_is_what_is_in_it(server: Server):
    assert upload(server, picture("WEBP"), "image/png").json()["mediaType"] == "image/webp"
    assert form(server, picture("PNG")).json()["mediaType"] == "image/png"


def test_the_url_shows_what_is_kept(server: Server):
    body = upload(server, turned("JPEG", 6)).json()
    found = server.client.get(body["url"])
    assert found.headers["content-type"] == "image/jpeg"
    assert found.headers["x-content-type-options"] == "nosniff"
    image = Image.open(io.BytesIO(found.content))
    assert image.size == (body["width"], body["height"]) == (48, 64)
    assert not image.getexif()
    assert server.client.get(body["url"].replace("sig=", "sig=0")).status_code == 403


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (animation("GIF"), 415, "a GIF"),
        (b"<html>", 415, "HTML"),
        (b"", 415, "empty"),
        (picture()[:-20], 422, "the file ends"),
        (picture() + b"PK\3\4", 422, "after its end"),
        (animation("PNG"), 422, "animated"),
        (png(size=(60_000, 60_000)), 422, "pixels"),
        (png(size=(20_000, 1)), 422, "a side"),
    ],
    ids=["gif", "page", "nothing", "cut", "archive behind", "animated", "huge", "long"],
)
def test_what_cannot_be_used_is_told_by_its_field(server: Server, data: bytes, status: int, said: str):
    told = problem(upload(server, data), status)
    assert said in told["errors"]["body"][0]
    if data:
        assert said in problem(form(server, data), status)["errors"]["file"][0]


def test_more_than_one_file_or_none_is_refused(server: Server):
    assert "2 times" in problem(form(server, picture(), picture()), 400)["errors"]["file"][0]
    assert problem(form(server, note="hello"), 400)["errors"]
    assert form(server, picture(), note="hello").status_code == 201


_HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
_FIELD = b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\n'


@pytest.mark.parametrize(
    ("content_type", "body", "field"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\n", "body"),
        ("multipart/form-data; boundary=x", b"", "body"),
        ("multipart/form-data; boundary=x", _HEAD + picture(), "body"),
        ("multipart/form-data; boundary=x", _HEAD + picture() + b"\r\n--x\r\n", "body"),
        ("multipart/form-data; boundary=x", _HEAD + picture() + b"\r\n--y--\r\n", "body"),
        (
            "multipart/form-data; boundary=x",
            (_FIELD + b"1\r\n") * 30 + _HEAD + picture() + b"\r\n--x--",
            "body",
        ),
        ("multipart/form-data; boundary=x", _FIELD + bytes(70_000) + b"\r\n--x--", "body"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nno name\r\n--x--\r\n", "body"),
        ("multipart/form-data; boundary=x", _FIELD + b"1\r\n--x--\r\n", "file"),
        ("multipart/form-data; boundary=x", b"--x--\r\n", "file"),
        ("multipart/form-data", _HEAD + picture() + b"\r\n--x--", "Content-Type"),
        ("multipart/form-data; boundary=", _HEAD + picture() + b"\r\n--x--", "Content-Type"),
        ("multipart/form-data; boundary=" + "x" * 300, _HEAD + picture() + b"\r\n--x--", "body"),
        ("multipart/mixed; boundary=x", _HEAD + picture() + b"\r\n--x--", "Content-Type"),
    ],
)
def test_a_form_that_cannot_be_read_is_refused_by_its_field(
    server: Server, content_type: str, body: bytes, field: str
):
    answer = server.client.post(URL, content=body, headers={"Content-Type": content_type})
    assert list(problem(answer, 400)["errors"]) == [field]


def test_a_form_arrives_in_pieces_of_any_size(server: Server):
    data = picture(size=(90, 80), mode="RGB")
    body = _FIELD + b"1\r\n" + _HEAD + data + b"\r\n--x--\r\n"
    for size in (1, 7, 1000):
        pieces = (body[start : start + size] for start in range(0, len(body), size))
        answer = server.client.post(
            URL, content=pieces, headers={"Content-Type": 'Multipart/Form-Data; boundary="x"'}
        )
        assert answer.status_code == 201, answer.text
        kept = server.client.get(answer.json()["url"])
        assert Image.open(io.BytesIO(kept.content)).size == (90, 80)


def test_more_bytes_than_accepted_are_not_read(make_server: Any):
    server = make_server(limit={"input_bytes": 200_000, "body_bytes": 50_000})
    assert upload(server, picture(size=(200, 200), mode="RGB")).status_code == 201
    assert problem(upload(server, bytes(300_000)), 413)["detail"].endswith("bytes that are accepted")
    endless = server.client.post(URL, content=(bytes(10_000) for _ in range(40)))
    problem(endless, 413)
    problem(form(server, bytes(300_000)), 413)
    pieces = (_HEAD, *(bytes(10_000) for _ in range(40)))
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    problem(server.client.post(URL, content=iter(pieces), headers=headers), 413)
    problem(server.client.post("/api/v1/jobs", content=bytes(60_000)), 413)


def test_another_owner_s_upload_is_as_unknown_as_none(server: Server):
    kept = server.app.inputs.keep("body", picture(size=(9, 9)), "bob")
    other = problem(run(server, f"blob:{kept.name}"), 400)
    none = problem(run(server, "blob:" + "0" * 64 + ".png"), 400)
    assert other["errors"] == none["errors"]
    assert "no upload of yours" in other["errors"]["input.image"][0]
    mine = upload(server, picture(size=(9, 9))).json()["key"]
    assert run(server, f"blob:{mine}").status_code == 201


def test_a_data_url_is_answered_by_the_same_statuses(server: Server):
    assert problem(run(server, "data:image/png;base64,R0lGODlh"), 415)["errors"]["input.image"]
    assert problem(run(server, "data:image/png;base64,iVBORw0KGgo="), 422)["errors"]["input.image"]
