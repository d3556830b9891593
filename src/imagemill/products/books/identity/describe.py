"""Describe the face of a photo in words, by a vision model where one may see it, for the prompts of pages."""

import base64
import ipaddress
import json
import logging
import re
import socket
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from imagemill.domain.errors import ImagemillError
from imagemill.language.chat import LlmFailed, open_client
from imagemill.language.settings import LanguageModelSettings

log = logging.getLogger(__name__)

_ANSWER_TOKENS = 200
_FENCE = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_PLAIN = re.compile(r"[a-z][a-z ,'-]{0,59}")
"""Words that a prompt can take over: nothing that could be an instruction or a syntax."""
_QUESTION = """You help an illustrator who draws a child. Look at the face in the photo and answer with
one JSON object and nothing else, with these keys:
"hair": length, shape and colour of the hair in at most six English words,
"eyes": the colour of the eyes in at most three words,
"skin": the tone of the skin in at most three words,
"gender": "boy", "girl" or "unknown",
"glasses": true or false,
"freckles": true or false.
Say nothing of who the child may be, and nothing of health, origin, mood or beauty."""


def _plain_words(value: Any) -> Any:
    text = " ".join(value.lower().split()) if isinstance(value, str) else ""
    return text if _PLAIN.fullmatch(text) else ""


_Words = Annotated[str, BeforeValidator(_plain_words)]


class FaceDescription(BaseModel):
    """The words of a vision model. Empty words mean that it told nothing usable."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    hair: _Words = ""
    eyes: _Words = ""
    skin: _Words = ""
    gender: Literal["boy", "girl", "unknown"] = "unknown"
    """A guess, for the client to correct."""
    glasses: bool = Field(default=False, strict=True)
    freckles: bool = Field(default=False, strict=True)


class FaceDescriber:
    """Asks the vision model of ``IMAGEMILL_LANGUAGE_MODEL__*``. Thread-safe.

    ``external``: whether photos may leave this machine and the private network. ``shrink``: returns a small
    JPEG of a picture, made in a confined process.
    """

    def __init__(
        self, settings: LanguageModelSettings, shrink: Callable[[bytes], bytes], *, external: bool = False
    ) -> None:
        self._url, self._external, self._shrink = settings.base_url, external, shrink
        self._client = open_client(settings.base_url, settings.vision_model, settings.limits)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    @property
    def refusal_reason(self) -> str | None:
        """The reason why photos are not described; None if they are. Looks up the host of the endpoint."""
        if self._client is None or self._url is None:
            return (
                "no vision model is configured: set IMAGEMILL_LANGUAGE_MODEL__BASE_URL and "
                "IMAGEMILL_LANGUAGE_MODEL__VISION_MODEL"
            )
        if not self._external and not is_private(self._url):
            return (
                "the vision model is outside this machine and the private network: if photos may go there, "
                "set IMAGEMILL_BOOKS__EXTERNAL_VISION=true"
            )
        return None

    def describe(self, picture: bytes, *, consented: bool) -> FaceDescription | None:
        """Return the description of the face in a picture; None where there is none.

        It never fails: a book is made without a description, too. ``consented``: whether a parent has allowed
        the use of the photo; without that nothing is sent.
        """
        reason = self.refusal_reason if consented else "there is no consent"
        if self._client is None or reason is not None:
            log.debug("a photo is not described: %s", reason)
            return None
        try:
            shown = base64.b64encode(self._shrink(picture)).decode()
            return _read(self._client.complete(_question(shown)).text)
        except LlmFailed as error:
            log.warning("a photo could not be described: %s", error)
        except ImagemillError as error:
            log.warning("a photo could not be described: %s", type(error).__name__)
        return None


def is_private(url: str) -> bool:
    """Whether all addresses of the URL's host are of this machine or a private network."""
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, None, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in found]
    except (OSError, ValueError, UnicodeError):
        return False
    return bool(addresses) and all(each.is_loopback or each.is_private for each in addresses)


def _question(picture: str) -> Mapping[str, Any]:
    image = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{picture}"}}
    return {
        "temperature": 0.1,
        "max_tokens": _ANSWER_TOKENS,
        "messages": [
            {"role": "system", "content": _QUESTION},
            {"role": "user", "content": [image, {"type": "text", "text": "Describe this face as JSON."}]},
        ],
    }


def _read(answer: str) -> FaceDescription | None:
    """Return the description in an answer; None for another answer, which is not logged."""
    fenced = _FENCE.match(answer)
    try:
        content: object = json.loads(fenced[1] if fenced else answer)
        described = FaceDescription.model_validate(content)
    except (ValueError, RecursionError, ValidationError):
        log.warning("a photo could not be described: the vision model did not answer with the JSON object")
        return None
    return described if described != FaceDescription() else None


# Words for prompts.


def words_for(age: int | None, gender: str, details: Mapping[str, Any]) -> str:
    """Return words for a child, such as "a girl of 5 years, curly red hair, green eyes, freckles".

    ``gender``: boy, girl or anything else. ``details``: the values of `AnalysePhoto`, with a
    `FaceDescription` as ``description`` where there is one; its words replace those of the colours.
    """
    described: Mapping[str, Any] = details.get("description") or {}
    colours: Mapping[str, Any] = details.get("colours") or {}
    who = f"a {gender if gender in ('boy', 'girl') else 'child'}"
    words = [who if age is None else f"{who} of {age} year{'' if age == 1 else 's'}"]
    for part in ("hair", "eyes", "skin"):
        found = str(described.get(part) or (colours.get(part) or {}).get("words") or "")
        if found:
            words.append(found if part in found else f"{found} {part}")
    words += [part for part in ("glasses", "freckles") if described.get(part) is True]
    return ", ".join(words)
