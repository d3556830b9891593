"""Floods of keys that nobody has: bounded in what they cost, and not felt by those whose key is right."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from imagemill.accounts.access import Access, Credentials
from imagemill.accounts.keys import KeyRequest, Keys
from imagemill.accounts.store import Owner
from imagemill.accounts.throttle import UnknownKeyThrottle
from imagemill.bootstrap.stores import Stores
from imagemill.domain import access as domain_access
from imagemill.domain.access import Role
from imagemill.domain.clock import now_us
from imagemill.domain.errors import TooManyAttempts, Unauthenticated
from imagemill.settings import AuthSettings
from tests.access.support import ADMIN_KEY, bearer, guarded, key
from tests.conftest import Server
from tests.http.support import problem

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


class Counting:
    """The accounts of a store; how often a key was looked up."""

    def __init__(self, store: Stores) -> None:
        self._accounts = store.accounts
        self.lookups = 0

    def key(self, id_: str) -> Any:
        self.lookups += 1
        return self._accounts.key(id_)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._accounts, name)


def shown(text: str) -> Credentials:
    return Credentials(f"Bearer {text}")


def access(accounts: Any, remember_s: float = 60) -> Access:
    settings = AuthSettings(required="always", remember_s=remember_s)
    return Access(accounts, settings, "local", unknown_keys=UnknownKeyThrottle(lambda: 0.0))


def flood(door: Access, times: int, address: str = HERE) -> list[type[Exception]]:
    """Keys that nobody has, another one each time."""
    found: list[type[Exception]] = []
    for _ in range(times):
        with pytest.raises((Unauthenticated, TooManyAttempts)) as caught:
            door.caller(shown(domain_access.draw().text), address)
        found.append(caught.type)
    return found


def made(store: Stores) -> Credentials:
    store.accounts.ensure_owner(Owner("ann", Role.USER, now_us()))
    return shown(Keys(store.accounts, lambda: None).make(KeyRequest(), "ann").text)


def test_a_flood_is_looked_up_a_few_times_and_right_keys_go_on(store: Stores) -> None:
    accounts, right, late = Counting(store), made(store), made(store)
    door = access(accounts, remember_s=0)
    assert door.caller(right, HERE).owner == "ann"
    found = flood(door, 300)
    assert found[:50] == [Unauthenticated] * 50
    assert found[50:] == [TooManyAttempts] * 250
    assert accounts.lookups == 51
    door.forget()
    assert door.caller(right, HERE).owner == "ann", "it was right before, so it is looked up"
    with pytest.raises(TooManyAttempts):
        door.caller(late, HERE)
    assert door.caller(late, ELSEWHERE).owner == "ann"


def test_the_same_wrong_key_is_looked_up_once_in_a_while(store: Stores) -> None:
    accounts = Counting(store)
    door, wrong = access(accounts), shown(domain_access.draw().text)
    with pytest.raises(Unauthenticated):
        door.caller(wrong, HERE)
    for _ in range(100):
        with pytest.raises(Unauthenticated, match="not known here"):
            door.remembered(wrong)
    assert accounts.lookups == 1
    door.forget()
    assert door.remembered(wrong) is None


def test_an_address_may_be_wrong_again_after_a_while() -> None:
    now = 0.0
    unknown_keys = UnknownKeyThrottle(lambda: now)
    for _ in range(50):
        unknown_keys.check(HERE)
        unknown_keys.note(HERE)
    with pytest.raises(TooManyAttempts):
        unknown_keys.check(HERE)
    unknown_keys.check(ELSEWHERE)
    now = 1.0
    for _ in range(5):
        unknown_keys.check(HERE)
        unknown_keys.note(HERE)
    with pytest.raises(TooManyAttempts):
        unknown_keys.check(HERE)


def test_over_http_a_flood_is_refused_by_address(make_server: Callable[..., Server]) -> None:
    server = guarded(make_server, trusted_proxies=("127.0.0.1",))
    right = key(server, "ann")

    def asked(token: str, address: str) -> httpx2.Response:
        return server.client.get("/api/v1/jobs", headers=bearer(token, **{"X-Forwarded-For": address}))

    assert asked(right, HERE).status_code == 200
    answers = (asked(domain_access.draw().text, HERE) for _ in range(2000))
    last = next(answer for answer in answers if answer.status_code != 401)
    assert problem(last, 429)["type"].endswith("too_many_attempts")
    assert last.headers["retry-after"] == "1"
    assert [asked(right, HERE).status_code, asked(ADMIN_KEY, ELSEWHERE).status_code] == [200, 200]
