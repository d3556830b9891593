"""Answers about the review of a book: findings of the preflight check, and the record of an approval."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from imagemill.api.jobs_schemas import moment
from imagemill.products.books.book_views import ApprovalView
from imagemill.products.books.layout.findings import Level
from imagemill.products.books.schemas import example
from imagemill.web.routing import ResponseModel

_AT = "2026-01-31T12:00:00+00:00"
_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


class FindingBox(ResponseModel):
    """A place on the picture of a page, in shares of its width and height."""

    x: float
    y: float
    width: float
    height: float


class PageFinding(ResponseModel):
    """A fault that the preflight check has found on a page."""

    level: Level = Field(description="`error` stops the print files; `warning` is worth a look.")
    code: str = Field(description="Such as `text_outside`; `docs/print.md` explains each.")
    message: str
    remedy: str
    box: FindingBox | None = Field(description="Where it is on the picture; null for the whole page.")


class ApprovedPage(ResponseModel):
    page: int
    version: int
    picture_sha256: str
    text_sha256: str = Field(description="Of the text as it is laid out.")


class Approval(ResponseModel):
    """The record of an approval; the print files are made from it alone."""

    model_config = example(
        number=1,
        at=_AT,
        who="parent@example.org",
        profile="square-8-25in",
        edition=_DIGEST,
        pages=[{"page": 2, "version": 1, "pictureSha256": _DIGEST, "textSha256": _DIGEST}],
        changeUntil="2026-02-01T12:00:00+00:00",
    )

    number: int = Field(description="1 for the first approval; each change needs another one.")
    at: datetime
    who: str
    profile: str
    edition: str = Field(description="The digest over all pictures and texts.")
    pages: list[ApprovedPage]
    change_until: datetime = Field(description="Until then pages may change.")


def finding_body(finding: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: finding[name] for name in ("level", "code", "message", "remedy")}
    return {**shown, "box": finding.get("box")}


def approval_body(approval: ApprovalView) -> dict[str, Any]:
    return {
        "number": approval.number,
        "at": moment(approval.at),
        "who": approval.who,
        "profile": approval.profile,
        "edition": approval.edition,
        "pages": [
            {
                "page": each["page"],
                "version": each["version"],
                "pictureSha256": each["pictureSha256"],
                "textSha256": each["textSha256"],
            }
            for each in approval.pages
        ],
        "changeUntil": moment(approval.change_until),
    }
