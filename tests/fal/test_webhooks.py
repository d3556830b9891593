"""fal's webhooks: one signed delivery for a request, when it is finished."""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.conftest import Server
from tests.fal.support import KEY, accepted, finished, made, queued, until, wanted
from tests.fal.tls import Secured
from tests.webhooks.receivers import Got, Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def told(server: Server, receiver: Receiver, **changes: Any) -> dict[str, Any]:
    return accepted(queued(server, body=wanted(**changes), params={"fal_webhook": receiver.url}))


def key_of(server: Server) -> Ed25519PublicKey:
    (key,) = server.client.get("/fal/.well-known/jwks.json", headers={"Authorization": ""}).json()["keys"]
    assert (key["kty"], key["crv"]) == ("OKP", "Ed25519")
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "=="))


def verify(key: Ed25519PublicKey, got: Got) -> None:
    """As fal's documentation has receivers do it."""
    head = {name: got.headers[f"x-fal-webhook-{name}"] for name in ("request-id", "user-id", "timestamp")}
    assert abs(time.time() - int(head["timestamp"])) < 300
    message = "\n".join([*head.values(), hashlib.sha256(got.raw).hexdigest()])
    key.verify(bytes.fromhex(got.headers["x-fal-webhook-signature"]), message.encode())


def test_the_end_is_told_once_with_what_was_made(fal: Server, receiver: Receiver) -> None:
    request = told(fal, receiver, num_images=2)
    output = made(fal, request)
    until(lambda: receiver.got)

    (got,) = receiver.got
    assert {name: value for name, value in got.body.items() if name != "payload"} == {
        "request_id": request["request_id"],
        "gateway_request_id": request["request_id"],
        "status": "OK",
        "error": None,
    }
    assert got.body["payload"].keys() == output.keys()
    assert len(got.body["payload"]["images"]) == 2
    picture = fal.client.get(got.body["payload"]["images"][0]["url"])
    assert picture.headers["content-type"] == "image/jpeg"


def test_nobody_is_told_of_what_comes_before_the_end(fal: Server, receiver: Receiver) -> None:
    request = told(fal, receiver)
    finished(fal, request)
    until(lambda: fal.app.stores.callbacks.next_due() is None)

    assert [got.body["status"] for got in receiver.got] == ["OK"]


def test_a_receiver_can_check_who_sent_it(fal: Server, receiver: Receiver) -> None:
    told(fal, receiver)
    until(lambda: receiver.got)
    got = receiver.got[0]

    verify(key_of(fal), got)
    assert got.headers["x-fal-webhook-user-id"] == fal.app.settings.owner
    with pytest.raises(InvalidSignature):
        verify(key_of(fal), Got(got.at, got.path, got.headers, got.raw + b" "))


def test_what_was_not_taken_is_sent_again_signed_anew(fal: Server, receiver: Receiver) -> None:
    receiver.answers = [500, 503]
    told(fal, receiver)
    until(lambda: len(receiver.got) == 3)

    assert len({got.raw.partition(b'"payload"')[0] for got in receiver.got}) == 1
    for got in receiver.got:
        verify(key_of(fal), got)


def test_a_failure_is_told_with_its_reason(fal: Server, receiver: Receiver) -> None:
    told(fal, receiver, prompt="forbidden fruit")
    until(lambda: receiver.got)

    body = receiver.got[0].body
    assert body["status"] == "ERROR"
    assert "blocked" in body["error"]
    assert body["payload"]["detail"][0]["type"] == "content_policy_violation"


def test_a_cancelled_request_is_told_of(fal: Server, receiver: Receiver) -> None:
    request = told(fal, receiver, prompt="it hangs")
    fal.client.put(request["cancel_url"], headers=KEY)
    until(lambda: receiver.got)

    assert receiver.got[0].body["payload"]["error_type"] == "client_cancelled"


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "ftp://example.com/", "not a url", "https://user:word@example.com/"]
)
def test_addresses_that_may_not_be_called_are_refused(fal: Server, url: str) -> None:
    answer = queued(fal, params={"fal_webhook": url})

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "fal_webhook"]


def test_machines_with_one_key_sign_alike(tmp_path: Path, make_server: Any) -> None:
    def key(name: str, **options: Any) -> Any:
        return make_server(data_dir=tmp_path / name, fal_api=options)

    first, second, other = key("a", webhook_key="k" * 32), key("b", webhook_key="k" * 32), key("c")
    keys = [server.client.get("/fal/.well-known/jwks.json").json() for server in (first, second, other)]

    assert keys[0] == keys[1] != keys[2]
    assert not (tmp_path / "a" / "secrets" / "fal-webhook.key").exists()
    assert (tmp_path / "c" / "secrets" / "fal-webhook.key").stat().st_mode & 0o777 == 0o600


def test_the_published_client_names_the_receiver(over_tls: Secured, receiver: Receiver) -> None:
    import os
    import subprocess
    import sys

    here = f"localhost:{over_tls.port}"
    submit = f"fal_client.submit('fal-ai/flux/dev', {wanted()!r}, webhook_url={receiver.url!r})"
    done = subprocess.run(
        [sys.executable, "-c", f"import fal_client; print({submit}.request_id)"],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
        env={
            **os.environ,
            "FAL_KEY": "any-key",
            "SSL_CERT_FILE": str(over_tls.authority),
            "FAL_QUEUE_RUN_HOST": f"{here}/fal",
        },
    )
    until(lambda: receiver.got)

    (got,) = receiver.got
    assert got.body["request_id"] == done.stdout.strip()
    assert json.dumps(got.body["payload"]).count(f"https://{here}/blobs/") == 1
