"""Expiring links to files and pictures of books, for browsers, which send no key."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import Request
from starlette.exceptions import HTTPException

from imagemill.api.jobs_schemas import moment
from imagemill.domain.signing import UrlSigner

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
