"""Signatures: expiring URLs of files, and the event names and signatures of webhooks."""

import base64
import hashlib
import hmac
import secrets

from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.events import EventType


@dataclass(frozen=True, slots=True)
class Signed:
    query: str
    """``exp=...&sig=...``"""
    expires_at: int
    """Microseconds since the epoch."""


class UrlSigner:
    """Signs a public name and an expiry time with a secret of this installation (keyed BLAKE2b, RFC 7693)."""

    def __init__(self, secret: bytes, *, life_s: float) -> None:
        self._key = hashlib.blake2b(secret).digest()
        self._life_s = life_s

    def sign(self, name: str) -> Signed:
        # Rounded up to a minute, so that polling clients and caches see the same URL for a while.
        expires_s = (now_us() // SECOND + round(self._life_s) + 59) // 60 * 60
        return Signed(f"exp={expires_s}&sig={self._signature(name, expires_s)}", expires_s * SECOND)

    def sign_until(self, name: str, expires_s: int) -> str:
        """Return the signature of a name that holds until a time in seconds since the epoch."""
        return self._signature(name, expires_s)

    def check(self, name: str, expires: str, signature: str) -> bool:
        """Whether the signature is ours and has not expired."""
        return self.is_ours(name, expires, signature) and int(expires) * SECOND > now_us()

    def is_ours(self, name: str, expires: str, signature: str) -> bool:
        """Whether the signature is ours, even if it has expired."""
        if not expires.isascii() or not expires.isdigit() or len(expires) > 12 or not signature.isascii():
            return False
        return hmac.compare_digest(self._signature(name, int(expires)), signature)

    def _signature(self, name: str, expires_s: int) -> str:
        # Unlike OpenSSL's HMAC, BLAKE2b keeps the interpreter lock; a busy server would have to wait to get
        # it back.
        return hashlib.blake2b(f"{name}\n{expires_s}".encode(), key=self._key, digest_size=22).hexdigest()


# Webhooks, signed as the Standard Webhooks specification says

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
"""The events of an endpoint that chose none: the terminal event of each job."""
TEST = "endpoint.test"

_PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def sign(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """Return one signature for the header ``webhook-signature``."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
