"""What the tests of access share: servers with keys, and clients that carry them."""

from typing import Any

import httpx2

from imagemill.accounts.keys import KeyRequest, Keys, Owners
from imagemill.domain.access import Caller, Role, Scope
from tests.conftest import Server

ADMIN_KEY = "an-administrators-key-of-the-settings"
PASSWORD = "correct horse battery"
QUICK = {"password_memory_mb": 8}
"""Hashing as it is, with less memory: a test has many passwords."""


def guarded(make_server: Any, **settings: Any) -> Server:
    """A server with an administrator's key, which its client carries."""
    auth = {"admin_key": ADMIN_KEY, **QUICK, **settings.pop("auth", {})}
    server = make_server(auth=auth, **settings)
    server.client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
    return server


def key(server: Server, owner: str, role: Role = Role.USER, **key_request: Any) -> str:
    """A key of an account, which is made when it is not there."""
    accounts, forget = server.app.stores.accounts, server.app.services.access.forget
    if accounts.owner(owner) is None:
        Owners(accounts, forget).add(owner, role)
    return Keys(accounts, forget).make(KeyRequest(**key_request), owner).text


def visible(text: str) -> str:
    return text.split("_")[1]


def bearer(text: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}", **more}


def ask(server: Server, token: str | None, method: str, path: str, **options: Any) -> httpx2.Response:
    """Without what the server's own client carries."""
    headers = {**(bearer(token) if token else {}), **options.pop("headers", {})}
    return httpx2.request(method, server.url + path, headers=headers, timeout=100, **options, verify=False)


def sign_up(server: Server, email: str = "ann@example.org", password: str = PASSWORD) -> dict[str, Any]:
    body = {"email": email, "password": password}
    answer = ask(server, None, "POST", "/api/v1/auth/sign-up", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def login(server: Server, email: str = "ann@example.org", password: str = PASSWORD) -> httpx2.Response:
    return ask(server, None, "POST", "/api/v1/auth/login", json={"email": email, "password": password})


def caller(owner: str, *scopes: Scope, role: Role = Role.USER, credential: str = "") -> Caller:
    return Caller(owner, role, frozenset(scopes), owner, credential)
