"""fal's webhooks: one delivery for each finished request, signed with Ed25519."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from imagemill.api.base import Services
from imagemill.dialects.fal.errors import FalErrorResponse
from imagemill.dialects.fal.responses import marks, result
from imagemill.dialects.fal.settings import FalApiSettings
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import MissingExtra, NotFound
from imagemill.webhooks.callbacks import Format, SignedPayload
from imagemill.webhooks.outbox import Delivery

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SECRET = "fal-webhook"  # noqa: S105 - its name


def webhook_format(services: Services, settings: FalApiSettings) -> Format:
    sign = signer(services, settings)

    def write(delivery: Delivery) -> SignedPayload | None:
        job = delivery.job
        if not delivery.event.type.is_terminal:
            return None
        # The job is read again for its newest annotations.
        view = services.jobs.view(job.id)
        found = result(view, services.response_config.public_url or marks(job).get("base", ""), services)
        body: dict[str, Any] = {"request_id": job.id, "gateway_request_id": job.id}
        if isinstance(found, FalErrorResponse):
            body |= {"status": "ERROR", "error": found.sentence, "payload": found.body}
        else:
            body |= {"status": "OK", "error": None, "payload": found}
        # Headers are ASCII, but the id of an owner may not be.
        user = quote(job.owner, safe=":@+")
        return SignedPayload(body, lambda content: sign(job.id, user, content))

    return write


def signer(services: Services, settings: FalApiSettings) -> Callable[[str, str, bytes], Mapping[str, str]]:
    """Return the function that makes the headers of a delivery when it is sent."""
    key: list[Ed25519PrivateKey] = []

    def headers(request_id: str, user: str, content: bytes) -> Mapping[str, str]:
        if not key:
            key.append(private_key(services, settings))
        timestamp = str(now_us() // SECOND)
        signed = "\n".join([request_id, user, timestamp, hashlib.sha256(content).hexdigest()])
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": user,
            "X-Fal-Webhook-Timestamp": timestamp,
            "X-Fal-Webhook-Signature": key[0].sign(signed.encode()).hex(),
        }

    return headers


def private_key(services: Services, settings: FalApiSettings) -> "Ed25519PrivateKey":
    """Return the key of the settings, which machines may share, or this installation's own. May block."""
    MissingExtra.check("cryptography", "crypto", "a signed webhook")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    given = settings.webhook_key
    secret = services.secret(_SECRET) if given is None else given.get_secret_value().encode()
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(secret).digest())


def key_set(services: Services, settings: FalApiSettings) -> dict[str, Any]:
    """Return the public key that verifies the signatures, as a JWK set. May block."""
    public = private_key(services, settings).public_key().public_bytes_raw()
    x = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
    kid = hashlib.sha256(public).hexdigest()[:16]
    return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA", "kid": kid}]}


def unsigned(delivery: Delivery) -> Mapping[str, Any]:
    """Refuse to write an unsigned callback: those of this dialect are signed."""
    raise NotFound(f"job {delivery.job.id} has signed callbacks only")
