"""Access: from what a request carries to whom it is answered for."""

import hmac
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from imagemill.accounts.store import AccountStore, Owner, StoredKey, UseKey
from imagemill.accounts.throttle import UnknownKeyThrottle
from imagemill.domain import access
from imagemill.domain.access import Caller, Role, end_user
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import Forbidden, Unauthenticated
from imagemill.settings import AuthSettings

MAX_CREDENTIAL = 4096
"""Characters of an Authorization header."""
_MOST_REMEMBERED = 10_000
_MOST_REFUSED, _LONGEST_REFUSED = 2000, 512
"""Credentials that are remembered as wrong, and their characters: a megabyte of them."""
_USE_NOTED_S = 60
"""When a key was used last is kept to the minute: a write a request would be too much."""
_SCHEMES = ("bearer", "key")
"""As Civitai's clients and ours send a key, and as fal's do."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request carries to say who calls."""

    authorization: str = ""
    acting_for: str | None = None
    """The end user a service key acts for."""

    @property
    def token(self) -> str:
        """The key or token; empty when there is none, or none of a kind we know."""
        scheme, _, token = self.authorization.partition(" ")
        known = scheme.lower() in _SCHEMES and len(self.authorization) <= MAX_CREDENTIAL
        return token.strip() if known else ""


Token = Callable[[str], Caller | None]
"""Whose session token a text is; None when it is no token. Raises `Unauthenticated`."""


class Access:
    """Decides who calls.

    ``owner`` is the caller where no credentials are needed, and the owner of the settings' administrator key.
    Where other machines reach the server (``is_reachable``), credentials are needed before any were made.
    """

    def __init__(
        self,
        accounts: AccountStore,
        settings: AuthSettings,
        owner: str,
        token: Token = lambda _: None,
        unknown_keys: UnknownKeyThrottle | None = None,
        *,
        is_reachable: bool = False,
    ) -> None:
        self._accounts = accounts
        self._owner = owner
        self._remember_s = settings.remember_s
        key = settings.admin_key
        self._admin_key = access.digest(key.get_secret_value()) if key is not None else None
        self._token = token
        self._lock = threading.Lock()
        self._found: dict[Credentials, tuple[float, Caller]] = {}
        self._refused: dict[Credentials, tuple[float, str]] = {}
        self._unknown_keys = unknown_keys or UnknownKeyThrottle()
        self._forgotten = 0
        """How often: what was looked up before is not remembered after."""
        self._is_closed = is_reachable or settings.required == "always" or key is not None

    def caller(self, given: Credentials, address: str = "") -> Caller:
        """May read the database. ``address``: whence they come.

        Raises `Unauthenticated`, `Forbidden`, `InvalidInput`, `TooManyAttempts`."""
        known, forgotten = time.monotonic(), self._forgotten
        if given not in self._found:
            self._unknown_keys.check(address)
        try:
            caller = self._caller(given)
        except Unauthenticated as error:
            self._refuse(given, known, str(error), address)
            raise
        with self._lock:
            if forgotten == self._forgotten:
                if len(self._found) >= _MOST_REMEMBERED:
                    self._found.clear()
                self._found[given] = (known, caller)
        return caller

    def _refuse(self, given: Credentials, known: float, why: str, address: str) -> None:
        with self._lock:
            self._found.pop(given, None)
            if len(given.authorization) <= _LONGEST_REFUSED:
                if len(self._refused) >= _MOST_REFUSED:
                    self._refused.clear()
                self._refused[given] = (known, why)
        if why == _UNKNOWN:
            self._unknown_keys.note(address)

    def remembered(self, given: Credentials) -> Caller | None:
        """As `caller`, when it was found out a moment ago; blocks nowhere. Raises `Unauthenticated`."""
        found = self._found.get(given)
        if found is not None:
            return found[1] if self._is_fresh(found[0]) else None
        refused = self._refused.get(given)
        if refused is not None and self._is_fresh(refused[0]):
            raise Unauthenticated(refused[1])
        return None

    def _is_fresh(self, known: float) -> bool:
        return time.monotonic() - known <= self._remember_s

    def forget(self) -> None:
        """A key was revoked, a session ended, an owner changed: look again, here at once."""
        with self._lock:
            self._forgotten += 1
            # Looked up again, but known as having been right: see `strangers`.
            self._found = {given: (float("-inf"), caller) for given, (_, caller) in self._found.items()}
            self._refused.clear()

    def is_open(self) -> bool:
        """Whether nobody has to say who they are: no key and no user was ever made, and only this machine
        reaches the server."""
        if not self._is_closed:
            self._is_closed = self._accounts.has_credentials()
        return not self._is_closed

    def _caller(self, given: Credentials) -> Caller:
        if self.is_open():
            return self._everybody()
        token = given.token
        if not token:
            raise Unauthenticated("send the header 'Authorization: Bearer <key>' with a key of this server")
        key_id = access.key_id(token)
        if key_id is not None:
            return self._by_key(key_id, token, given.acting_for)
        if (caller := self._by_admin_key(token) or self._token(token)) is None:
            raise Unauthenticated(_UNKNOWN)
        if given.acting_for is not None:
            raise Forbidden(_NO_SERVICE)
        return caller

    def _everybody(self) -> Caller:
        owner = self._owner
        return Caller(owner, Role.ADMIN, Role.ADMIN.scopes, owner, is_unauthenticated_local=True)

    def _by_admin_key(self, token: str) -> Caller | None:
        expected = self._admin_key
        if expected is None or not hmac.compare_digest(access.digest(token), expected):
            return None
        owner = self._owner
        return Caller(owner, Role.ADMIN, Role.ADMIN.scopes, owner, credential="settings")

    def _by_key(self, key_id: str, token: str, acting_for: str | None) -> Caller:
        found = self._accounts.key(key_id)
        if found is None or not hmac.compare_digest(found[0].digest, access.digest(token)):
            raise Unauthenticated(_UNKNOWN)
        key, account = found
        now = now_us()
        _check_valid(key, account, now)
        if key.used_at is None or now - key.used_at > _USE_NOTED_S * SECOND:
            self._accounts.use_key(UseKey(key.id, now))
        scopes = key.scopes & account.role.scopes
        if acting_for is None:
            return Caller(account.id, account.role, scopes, account.id, key.id)
        if not key.is_service:
            raise Forbidden(_NO_SERVICE)
        owner = self._end_user(account, acting_for, now)
        # Whom a key acts for is nobody's operator or administrator.
        return Caller(owner, Role.USER, scopes & Role.USER.scopes, account.id, key.id)

    def _end_user(self, account: Owner, name: str, now: int) -> str:
        id_ = end_user(account.id, name)
        there = self._accounts.owner(id_)
        if there is None:
            self._accounts.ensure_owner(Owner(id_, Role.USER, now, parent=account.id, name=name))
        elif there.disabled_at is not None:
            raise Forbidden(f"the end user {name!r} is disabled")
        return id_


def _check_valid(key: StoredKey, account: Owner, now: int) -> None:
    if key.revoked_at is not None:
        raise Unauthenticated(f"the key {key.id} was revoked; make another one")
    if key.expires_at is not None and key.expires_at <= now:
        raise Unauthenticated(f"the key {key.id} has expired; make another one")
    if account.disabled_at is not None:
        raise Unauthenticated(f"the account {account.id} is disabled")


_UNKNOWN = "the key or token is not known here; `imagemill keys create` makes one"
_NO_SERVICE = "X-Imagemill-User: only a service key may act for an end user"
