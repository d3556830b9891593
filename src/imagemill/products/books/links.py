"""Expiring links to files and pictures of books, for browsers, which send no key."""

from typing import Any
from urllib.parse import quote

from fastapi import Request
from starlette.exceptions import HTTPException

from imagemill.api.jobs_schemas import moment
from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import NotFound
from imagemill.domain.signing import UrlSigner
from imagemill.products.books.book_views import PersonalizationView, SharedLink

NOT_SHARED = "this link is wrong, has expired or was ended; ask whoever sent it for a new one"
_REFUSED = "this URL is wrong or has expired; read the book again for a new one"


@dataclass(frozen=True, slots=True)
class BookLinks:
    """Links that are signed over the path and the version of a picture."""

    signer: UrlSigner
    base: str

    def link(self, path: str, version: int | None = None) -> dict[str, Any]:
        """Return the members ``url`` and ``urlExpiresAt``."""
        signed = self.signer.sign(_signed_name(path, version))
        query = f"version={version}&{signed.query}" if version is not None else signed.query
        return {
            "url": f"{self.base}{quote(path)}?{query}",
            "urlExpiresAt": moment(signed.expires_at),
        }

    def share_token(self, id_: str, share: SharedLink) -> str:
        """Return the token of the link by which others may read a book: its id, expiry and signature."""
        expires_s = share.until // SECOND
        return f"{id_}.{expires_s}.{self.signer.sign_until(_shared_name(id_, share), expires_s)}"


def shared_id(token: str) -> str:
    """Return the id of the book that a token of a shared link names, right or wrong."""
    return token.partition(".")[0]


def check_shared(token: str, view: PersonalizationView, signer: UrlSigner) -> None:
    """Check the token of a shared link against the book that it names. Raises `NotFound`."""
    _, _, signed = token.partition(".")
    expires, _, signature = signed.partition(".")
    share = view.share
    if share is None or not signer.check(_shared_name(view.id, share), expires, signature):
        raise NotFound(NOT_SHARED)


def _shared_name(id_: str, share: SharedLink) -> str:
    return f"books:share:{id_}:{share.key}"


def is_signed(request: Request) -> bool:
    """Whether the request has a signature in place of a key."""
    return "imagemill.caller" not in request.scope


def check_signature(request: Request, signer: UrlSigner, version: int | None = None) -> str:
    """Return when the link expires, in seconds since the epoch. Raises a 403."""
    query = request.query_params
    expires, signature = query.get("exp", ""), query.get("sig", "")
    if not signer.check(_signed_name(request.url.path, version), expires, signature):
        raise HTTPException(403, _REFUSED)
    return expires


def _signed_name(path: str, version: int | None) -> str:
    return f"books:{path}" if version is None else f"books:{path}?version={version}"
