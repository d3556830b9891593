"""Verification of the messages that Imagemill sends to webhooks (Standard Webhooks)."""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping

from imagemill_client.errors import ImagemillError

TOLERANCE_S = 300
"""Seconds that a message's time may differ from this machine's."""


class InvalidSignature(ImagemillError):
    """The message is not from the server that has the secret, or it is too old."""


def verify(secret: str, headers: Mapping[str, str], body: bytes, *, now: float | None = None) -> None:
    """Raise `InvalidSignature` unless the message was signed with the secret, recently.

    ``secret`` is the endpoint's, ``whsec_...``; ``headers`` are those of the request, in any case; ``body``
    is the request's body as it came, not parsed and written again. ``now`` is the time in seconds since the
    epoch. Store ``webhook-id`` and ignore a message whose id you know: a delivery may be repeated.
    """
    given = {name.lower(): value for name, value in headers.items()}
    id_, sent_at = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not id_ or not (sent_at.isascii() and sent_at.isdigit()):
        raise InvalidSignature("webhook-id or webhook-timestamp is missing")
    if abs((time.time() if now is None else now) - int(sent_at)) > TOLERANCE_S:
        raise InvalidSignature(f"webhook-timestamp differs by more than {TOLERANCE_S} s from the time here")
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise InvalidSignature("the secret is not one of a webhook endpoint: whsec_ and base64") from None
    digest = hmac.digest(key, b".".join((id_.encode(), sent_at.encode(), body)), hashlib.sha256)
    expected = "v1," + base64.b64encode(digest).decode()
    signatures = given.get("webhook-signature", "").split()
    if not any(hmac.compare_digest(expected.encode(), each.encode()) for each in signatures):
        raise InvalidSignature("no signature in webhook-signature matches the secret and the body")
