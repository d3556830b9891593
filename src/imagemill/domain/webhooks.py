"""What webhooks tell of, and how they are signed: https://www.standardwebhooks.com."""

import base64
import hashlib
import hmac
import secrets

from imagemill.domain.events import EventType

TYPES = {
    EventType.INITIALIZED: "job.created",
    EventType.CLAIMED: "job.started",
    EventType.UPDATED: "job.progress",
    EventType.REJECTED: "job.retried",
    EventType.CLAIM_EXPIRED: "job.retried",
    EventType.SUCCEEDED: "job.succeeded",
    EventType.FAILED: "job.failed",
    EventType.CANCELED: "job.canceled",
    EventType.EXPIRED: "job.expired",
}
CHOICES = tuple(dict.fromkeys(TYPES.values()))
ENDS = tuple(name for type_, name in TYPES.items() if type_.is_terminal)
"""What an endpoint gets that asks for nothing else: how each job ended."""
TEST = "endpoint.test"

_PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def sign(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """One signature of the header ``webhook-signature``."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
