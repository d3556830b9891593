"""The form by which a book is started: photos, consent and options."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.datastructures import FormData, UploadFile

from imagemill.domain.errors import InvalidInput
from imagemill.products.books.book_manifest import BookManifest
from imagemill.products.books.book_views import Consent, NewBook
from imagemill.products.books.schemas import ConsentBody, PersonalizationForm
from imagemill.products.books.settings import BookSettings
from imagemill.web.body_fields import body_errors
from imagemill.web.forms import FORM_BYTES, FormLimits, read_form

PHOTO = "photo"
MOST_PHOTOS = 8
"""The number of characters that a book may have."""
FORM_LIMITS = FormLimits(files=MOST_PHOTOS, fields=8, file_bytes=BookSettings.photo_bytes)
LARGEST_FORM = MOST_PHOTOS * BookSettings.photo_bytes + FORM_BYTES
"""Bytes."""
_FIELDS = ("consent", "profile", "callbackUrl")
_CONSENT = 'write JSON such as {"who": "parent@example.org", "when": "2026-01-31T12:00:00Z"}'
_CLOCK_SKEW = timedelta(minutes=5)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)

FORM_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [PHOTO, "consent"],
                    "properties": {
                        PHOTO: {
                            "type": "string",
                            "format": "binary",
                            "description": "A JPEG, PNG or WebP of at most 10 MB, of the hero; "
                            "`photo.<characterId>` names another character.",
                        },
                        "consent": {
                            "type": "string",
                            "description": "JSON: `who` has allowed the use of the photo, and `when`.",
                            "example": '{"who": "parent@example.org", "when": "2026-01-31T12:00:00Z"}',
                        },
                        "profile": {"type": "string", "description": "The print profile."},
                        "callbackUrl": {
                            "type": "string",
                            "description": "Where each event of this book is posted.",
                        },
                    },
                }
            }
        },
    }
}
"""The document's description of the form."""


async def read_new_book(request: Request, manifest: BookManifest) -> NewBook:
    """Return the request of a form. Raises `InvalidInput` that names the part."""
    async with read_form(request, FORM_LIMITS) as form:
        wanted = [each.id for each in manifest.characters if each.needs_photo]
        files = _photo_parts(form, wanted)
        fields = _text_parts(form, wanted)
        options = _options(fields)
        photos = {character: await file.read() for character, file in files.items()}
    if missing := [each for each in wanted if each not in photos]:
        raise InvalidInput.at(f"{PHOTO}.{missing[0]}", "is required: send a JPEG, PNG or WebP of this one")
    consent = Consent(options.consent.who, round(options.consent.when.timestamp() * 1_000_000))
    return NewBook(manifest.slug, photos, consent, options.profile, options.callback_url)


def _photo_parts(form: FormData, wanted: Sequence[str]) -> dict[str, UploadFile]:
    found: dict[str, UploadFile] = {}
    for name, part in form.multi_items():
        if not isinstance(part, UploadFile):
            continue
        character = _character(name, wanted)
        if character in found:
            raise InvalidInput.at(name, "is there more than once; send one photo for each character")
        found[character] = part
    return found


def _character(name: str, wanted: Sequence[str]) -> str:
    """Return the character of a part. Raises `InvalidInput`."""
    if name == PHOTO and wanted:
        return wanted[0]
    prefix, dot, character = name.partition(".")
    if prefix != PHOTO or not dot or character not in wanted:
        raise InvalidInput.at(name[:80], f"is no photo of this book; {_known(wanted)}")
    return character


def _text_parts(form: FormData, wanted: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, part in form.multi_items():
        if isinstance(part, UploadFile):
            continue
        if name.partition(".")[0] == PHOTO:
            raise InvalidInput.at(name[:80], "is a text; send it as a file, with a file name")
        if name not in _FIELDS:
            raise InvalidInput.at(name[:80], f"is no field of this form; {_known(wanted)}")
        if name in found:
            raise InvalidInput.at(name, "is there more than once")
        if part:
            found[name] = part
    return found


def _known(wanted: Sequence[str]) -> str:
    photos = [f"{PHOTO}.{each}" for each in wanted]
    return f"it takes {', '.join([*photos, *_FIELDS])}"


def _options(fields: Mapping[str, str]) -> PersonalizationForm:
    if "consent" not in fields:
        raise InvalidInput.at("consent", f"is required before a photo is stored: {_CONSENT}")
    try:
        consent: Any = from_json(fields["consent"], allow_inf_nan=False)
    except ValueError:
        raise InvalidInput.at("consent", f"is not JSON; {_CONSENT}") from None
    if not isinstance(consent, dict):
        raise InvalidInput.at("consent", f"is no object; {_CONSENT}")
    try:
        options = PersonalizationForm.model_validate({**fields, "consent": consent})
    except ValidationError as error:
        raise InvalidInput(body_errors(error.errors(), PersonalizationForm)) from None
    _check_when(options.consent)
    return options


def _check_when(consent: ConsentBody) -> None:
    when = consent.when
    if when.tzinfo is None:
        raise InvalidInput.at("consent.when", "has no time zone; write one such as 2026-01-31T12:00:00Z")
    if not _EARLIEST < when < datetime.now(UTC) + _CLOCK_SKEW:
        raise InvalidInput.at("consent.when", "is not in the past; write when the consent was given")
