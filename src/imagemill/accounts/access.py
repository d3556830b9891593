"""Authentication: from the credentials of a request to its caller."""

import hmac
import threading
import time
from collections.abc import Callable

from imagemill.accounts.browser_sessions import ENDED
from imagemill.accounts.store import AccountStore, Owner, StoredKey, UseKey
from imagemill.accounts.throttle import UnknownKeyThrottle
from imagemill.domain import access
from imagemill.domain.access import GRANTED, Caller, Role, end_user
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Forbidden, NotFound, Unauthenticated
from imagemill.settings import AuthSettings

MAX_CREDENTIAL = 4096
"""The longest Authorization header that is read, in characters."""
_MOST_REMEMBERED = 10_000
_MOST_REFUSED, _LONGEST_REFUSED = 2000, 512
"""The number of wrong credentials that are cached, and the most characters of each: about 1 MB of them."""
_USE_NOTED_S = 60
"""Seconds between two writes of a key's last use: one write for each request would be too much."""
_SCHEMES = ("bearer", "key")
"""The Authorization schemes of keys: of Civitai's and our own clients, and of fal's."""


_UNKNOWN = "the key or token is not known here; `imagemill keys create` makes one"
_NO_SERVICE = "X-Imagemill-User: only a service key may act for an end user"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of a request."""

    authorization: str = ""
    acting_for: str | None = None
    """The end user a service key acts for."""
    cookie: str = ""
    """The cookie of a browser's session, where there is no Authorization header."""

    @property
    def token(self) -> str:
        """The key or token; empty without one, or when the scheme is unknown."""
        scheme, _, token = self.authorization.partition(" ")
        known = scheme.lower() in _SCHEMES and len(self.authorization) <= MAX_CREDENTIAL
        return token.strip() if known else ""


Token = Callable[[str], Caller | None]
"""Returns the caller of a session token, or None when the text is not a token. Raises `Unauthenticated`."""


def _no_session(cookie: str) -> Caller:
    del cookie
    raise Unauthenticated(ENDED)


class Access:
    """Finds the caller of a request.

    ``owner`` is the caller where no credentials are needed, and the owner of the settings' administrator key.
    ``token`` and ``browser`` return the callers of session tokens and of cookies.
    Where other machines reach the server (``is_reachable``), credentials are needed before any were made,
    unless the settings say that it is open.
    """

    def __init__(
        self,
        accounts: AccountStore,
        settings: AuthSettings,
        owner: str,
        token: Token = lambda _: None,
        browser: Callable[[str], Caller] = _no_session,
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
        self._browser = browser
        self._lock = threading.Lock()
        self._found: dict[Credentials, tuple[float, Caller]] = {}
        self._refused: dict[Credentials, tuple[float, str]] = {}
        self._unknown_keys = unknown_keys or UnknownKeyThrottle()
        self._generation = 0
        """The number of calls of `forget`: a look-up that began before a call is not cached after it."""
        needs_key = settings.required == "always" or (is_reachable and settings.required != "open")
        self._is_closed = needs_key or key is not None

    def caller(self, given: Credentials, address: str = "") -> Caller:
        """Return the caller; may read the database. ``address``: the client's network address.

        Raises `Unauthenticated`, `Forbidden`, `InvalidInput`, `TooManyAttempts`.
        """
        known, generation = time.monotonic(), self._generation
        if given not in self._found:
            self._unknown_keys.check(address)
        try:
            caller = self._caller(given)
        except Unauthenticated as error:
            self._refuse(given, known, str(error), address)
            raise
        with self._lock:
            if generation == self._generation:
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
        if why in (_UNKNOWN, ENDED):
            self._unknown_keys.note(address)

    def remembered(self, given: Credentials) -> Caller | None:
        """Return the cached caller, or None without one. Never blocks. Raises `Unauthenticated`."""
        found = self._found.get(given)
        if found is not None:
            return found[1] if self._is_fresh(found[0]) else None
        refused = self._refused.get(given)
        if refused is not None and self._is_fresh(refused[0]):
            raise Unauthenticated(refused[1])
        return None

    def _is_fresh(self, known: float) -> bool:
        return time.monotonic() - known <= self._remember_s

    def check_owner(self, id_: str) -> None:
        """Raise `NotFound` for an owner that does not exist."""
        if self._accounts.owner(id_) is None:
            raise NotFound(f"there is no owner {id_[:100]!r}")

    def is_disabled(self, id_: str) -> bool:
        """Whether an owner, or the account of an end user, is disabled. Reads the database."""
        owner = self._accounts.owner(id_)
        if owner is None:
            return False
        return owner.disabled_at is not None or (owner.parent is not None and self.is_disabled(owner.parent))

    def forget(self) -> None:
        """Empty the cache of this process after a key was revoked, a session ended or an owner changed."""
        with self._lock:
            self._generation += 1
            # Kept as expired: they are looked up again, but were valid before and so are not throttled.
            self._found = {given: (float("-inf"), caller) for given, (_, caller) in self._found.items()}
            self._refused.clear()

    def is_open(self) -> bool:
        """Whether requests need no credentials.

        True while no key and no user was ever made and only this machine reaches the server, or the settings
        say that it is open.
        """
        if not self._is_closed:
            self._is_closed = self._accounts.has_credentials()
        return not self._is_closed

    def _caller(self, given: Credentials) -> Caller:
        if self.is_open():
            return self._everybody()
        if given.cookie:
            if given.acting_for is not None:
                raise Forbidden(_NO_SERVICE)
            return self._browser(given.cookie)
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
        scopes = key.scopes & (account.role.scopes | GRANTED)
        if acting_for is None:
            return Caller(account.id, account.role, scopes, account.id, key.id)
        if not key.is_service:
            raise Forbidden(_NO_SERVICE)
        owner = self._end_user(account, acting_for, now)
        # An end user is never an operator or administrator.
        return Caller(owner, Role.USER, scopes & (Role.USER.scopes | GRANTED), account.id, key.id)

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
