"""The form with the photos: its limits, and messages that name the part."""

import asyncio
import json
from datetime import datetime
from typing import Any

import httpx2
import pytest
from fastapi import Request

from imagemill.domain.errors import InvalidInput, UnusablePicture
from imagemill.products.books.book_views import Consent, NewBook
from imagemill.products.books.photo_form import FORM_LIMITS, MOST_PHOTOS, read_new_book
from imagemill.products.books.settings import BookSettings
from tests.books.http.manifests import manifest

WHEN = "2026-01-31T12:00:00Z"
CONSENT = json.dumps({"who": "parent@example.org", "when": WHEN})
PHOTO = b"not looked at here"
Parts = list[tuple[str, Any]]


def photo(name: str = "photo", data: bytes = PHOTO) -> tuple[str, Any]:
    return name, ("child.jpg", data, "image/jpeg")


def text(name: str, value: str) -> tuple[str, Any]:
    return name, (None, value)


def read(*parts: tuple[str, Any], children: int = 1) -> NewBook:
    """Return what a form of these parts asks for."""
    sent = httpx2.Request("POST", "http://shop.example/", files=list(parts))
    return received(sent.read(), sent.headers["content-type"], children=children)


def received(body: bytes, content_type: str, *, children: int = 1) -> NewBook:
    pieces = [body[start : start + 65_536] for start in range(0, len(body), 65_536)] or [b""]

    async def receive() -> dict[str, Any]:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", content_type.encode())]}
    return asyncio.run(read_new_book(Request(scope, receive), manifest(children=children)))


def refused(*parts: tuple[str, Any], children: int = 1) -> tuple[str, str]:
    """Return the part that is refused, and the message."""
    with pytest.raises(InvalidInput) as caught:
        read(*parts, children=children)
    (error,) = caught.value.errors
    return error.path, error.message


def test_a_photo_and_a_consent_are_enough():
    at = round(datetime.fromisoformat(WHEN).timestamp() * 1e6)
    assert read(photo(), text("consent", CONSENT)) == NewBook(
        "a-walk", {"hero": PHOTO}, Consent("parent@example.org", at)
    )


def test_each_child_has_a_photo_of_its_own():
    parts = [photo("photo.hero", b"one"), photo("photo.sister", b"two"), text("consent", CONSENT)]
    assert read(*parts, children=2).photos == {"hero": b"one", "sister": b"two"}
    assert read(photo("photo", b"one"), *parts[1:], children=2).photos["hero"] == b"one"


def test_options_are_read():
    options = {"profile": "kdp-8-5in", "callbackUrl": "https://shop.example/hook"}
    found = read(photo(), text("consent", CONSENT), *(text(*each) for each in options.items()))
    assert (found.profile, found.callback_url) == tuple(options.values())
    assert read(photo(), text("consent", CONSENT), text("profile", "")).profile is None


@pytest.mark.parametrize(
    ("parts", "path", "said"),
    [
        ([text("profile", "")], "consent", "is required"),
        ([text("consent", CONSENT)], "photo.hero", "is required"),
        ([photo()], "consent", "is required before a photo is stored"),
        ([photo("photo.dog"), text("consent", CONSENT)], "photo.dog", "photo.hero, consent"),
        ([photo("photo.nobody"), text("consent", CONSENT)], "photo.nobody", "photo.hero, consent"),
        ([photo("picture"), text("consent", CONSENT)], "picture", "is no photo of this book"),
        ([photo(), photo("photo.hero"), text("consent", CONSENT)], "photo.hero", "more than once"),
        ([text("photo", "x"), text("consent", CONSENT)], "photo", "send it as a file"),
        ([photo(), text("consent", CONSENT), text("consent", CONSENT)], "consent", "more than once"),
        ([photo(), text("consent", CONSENT), text("childName", "Lia")], "childName", "is no field"),
        ([photo(), text("consent", "yes")], "consent", "is not JSON"),
        ([photo(), text("consent", "[]")], "consent", "is no object"),
        ([photo(), text("consent", "{}")], "consent.who", "is required"),
        ([photo(), text("consent", CONSENT), text("profile", "../a")], "profile", "a-z, 0-9"),
        ([photo(), text("consent", CONSENT), text("callbackUrl", "x" * 3000)], "callbackUrl", "2000"),
    ],
)
def test_a_wrong_part_is_named_with_the_remedy(parts: Parts, path: str, said: str):
    with pytest.raises(InvalidInput) as caught:
        read(*parts)
    error = caught.value.errors[0]
    assert error.path == path
    assert said in error.message


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("2026-01-31T12:00:00", "time zone"),
        ("2999-01-01T00:00:00Z", "not in the past"),
        ("1970-01-01T00:00:00Z", "not in the past"),
        ("soon", "a date and time such as"),
        (None, "a date and time such as"),
    ],
)
def test_the_time_of_the_consent_is_checked(when: str | None, said: str):
    consent = json.dumps({"who": "a parent", "when": when})
    path, message = refused(photo(), text("consent", consent))
    assert path == "consent.when"
    assert said in message


@pytest.mark.parametrize("who", ["", "   ", "x" * 201, 7])
def test_the_person_of_the_consent_is_checked(who: Any):
    path, _ = refused(photo(), text("consent", json.dumps({"who": who, "when": WHEN})))
    assert path == "consent.who"


def test_a_photo_may_have_ten_megabytes_and_no_byte_more():
    most = BookSettings.photo_bytes
    assert len(read(photo(data=bytes(most)), text("consent", CONSENT)).photos["hero"]) == most
    with pytest.raises(UnusablePicture) as caught:
        read(photo(data=bytes(most + 1)), text("consent", CONSENT))
    assert caught.value.errors[0].path == "photo"
    assert "10 MB" in caught.value.errors[0].message


def test_the_number_of_parts_is_bounded():
    many = [photo(f"photo.{number}") for number in range(MOST_PHOTOS + 1)]
    assert "Too many files" in refused(*many, text("consent", CONSENT))[1]
    fields = [text(f"field{number}", "") for number in range(FORM_LIMITS.fields + 1)]
    assert "Too many fields" in refused(*fields)[1]


@pytest.mark.parametrize("part", [b"", b"--x\r\n", b'--x\r\nContent-Disposition: form-data; name="photo"'])
def test_a_form_that_is_cut_off_is_refused(part: bytes):
    with pytest.raises(InvalidInput) as caught:
        received(part, "multipart/form-data; boundary=x")
    assert caught.value.errors[0].message.startswith("is no whole form")


def test_a_body_of_another_type_is_refused():
    with pytest.raises(InvalidInput) as caught:
        received(b"{}", "application/json")
    assert caught.value.errors[0].path == "Content-Type"
