"""The request and the answer of an attempt to deliver a webhook message, as they are stored with it."""

from collections.abc import Mapping
from dataclasses import asdict

from pydantic_core import from_json

from imagemill.db.statements import dump
from imagemill.domain.dataclass import dataclass
from imagemill.webhooks.delivery import PostAnswer


@dataclass(frozen=True, slots=True)
class Exchange:
    request_headers: Mapping[str, str]
    answer: PostAnswer | None
    """None means that there was no answer."""
    request_body: str = ""


def dump_exchange(exchange: Exchange) -> str:
    """Return the headers and the answer as JSON; the body has a column of its own."""
    answer = asdict(exchange.answer) if exchange.answer is not None else None
    return dump({"request_headers": dict(exchange.request_headers), "answer": answer})


def load_exchange(stored: str | None, body: str | None) -> Exchange | None:
    """Return a stored exchange; None for an attempt of a release that kept none."""
    if stored is None:
        return None
    values = from_json(stored)
    answer = PostAnswer(**values["answer"]) if values["answer"] is not None else None
    return Exchange(values["request_headers"], answer, body or "")
