"""The OpenAPI documents of a server, read as one."""

from collections.abc import Mapping
from typing import Any

import httpx2

ADDRESSES = ("/openapi.json", "/openapi/civitai-v1.json", "/openapi/civitai-v2.json", "/openapi/fal.json")
_TIMEOUT_S = 60
"""The first request builds the documents, which takes a second of a processor."""


def whole_document(url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return our own document with the paths and the components of the others."""
    own, *others = (_document(url + address, headers) for address in ADDRESSES)
    for other in others:
        own["paths"] |= other["paths"]
        for kind, components in other["components"].items():
            own["components"][kind] = components | own["components"].get(kind, {})
    return own


def _document(address: str, headers: Mapping[str, str] | None) -> dict[str, Any]:
    answer = httpx2.get(address, headers=dict(headers or {}), verify=False, timeout=_TIMEOUT_S)
    assert answer.status_code == 200, answer.text
    return answer.json()
