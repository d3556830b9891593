"""Who calls, and what they may do."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

from imagemill.domain.errors import InvalidInput


class Scope(StrEnum):
    """What a key or a session may be used for: a subject, and whether things change."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    WORKFLOWS_READ = "workflows:read"
    WORKFLOWS_WRITE = "workflows:write"
    NODES_READ = "nodes:read"
    NODES_WRITE = "nodes:write"
    ACCOUNT_READ = "account:read"
    """Balance, statement, limits, webhooks and keys of one's own."""
    ACCOUNT_WRITE = "account:write"
    METRICS_READ = "metrics:read"
    ADMIN = "admin"
    """Other owners' accounts: grants, limits, disabling, the audit log."""


class Role(StrEnum):
    USER = "user"
    OPERATOR = "operator"
    """Also the installation's nodes, models and shared workflows."""
    ADMIN = "admin"

    @property
    def scopes(self) -> frozenset[Scope]:
        return _SCOPES[self]


_USER = frozenset(
    {
        Scope.JOBS_READ,
        Scope.JOBS_WRITE,
        Scope.MODELS_READ,
        Scope.WORKFLOWS_READ,
        Scope.WORKFLOWS_WRITE,
        Scope.ACCOUNT_READ,
        Scope.ACCOUNT_WRITE,
    }
)
_OPERATOR = _USER | {Scope.MODELS_WRITE, Scope.NODES_READ, Scope.NODES_WRITE, Scope.METRICS_READ}
_SCOPES = {Role.USER: _USER, Role.OPERATOR: _OPERATOR, Role.ADMIN: frozenset(Scope)}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a request is answered for. What is not ``owner``'s does not exist for it."""

    owner: str
    role: Role
    scopes: frozenset[Scope]
    account: str
    """Who answers for the owner: itself, or the account whose service key acts for it."""
    credential: str = ""
    """Id of the key or session, for the audit log."""
    is_unauthenticated_local: bool = False
    """Nobody has to say who they are here; see `IMAGEMILL_AUTH__REQUIRED`."""

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes


ACCOUNT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,22}[a-z0-9])?")
"""Names of accounts; with an end user's name they fit the columns of owners."""
_PLAIN = re.compile(r"[A-Za-z0-9._@+-]{1,39}")
MAX_END_USER = 200


def check_account(path: str, name: str) -> str:
    """Raises `InvalidInput` for what is no name of an account."""
    if not ACCOUNT.fullmatch(name):
        raise InvalidInput.at(
            path, f"is {name[:40]!r}; write 1 to 24 of a-z, 0-9 and -, beginning and ending with no -"
        )
    return name


def end_user(account: str, name: str) -> str:
    """The owner that an end user of an account is. Raises `InvalidInput`.

    Two names never give one owner: what is not plain and short goes in by its digest.
    """
    if not 1 <= len(name) <= MAX_END_USER or not name.isprintable() or name.isspace():
        raise InvalidInput.at("X-Imagemill-User", f"must be 1 to {MAX_END_USER} printable characters")
    return f"{account}:{name}" if _PLAIN.fullmatch(name) else f"{account}:{_digest(name)}"


def _digest(name: str) -> str:
    # `~` is no character of a plain name, so that nobody can be called like another's digest.
    return "~" + hashlib.sha256(name.encode()).hexdigest()[:38]


_KEY = re.compile(r"im_([a-z0-9]{12})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class NewKey:
    id: str
    """The visible part, by which people and logs tell keys apart."""
    text: str
    """Shown once, kept nowhere."""
    digest: str


def draw() -> NewKey:
    """A key of 32 random bytes."""
    visible = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    text = f"im_{visible}_{secrets.token_urlsafe(32)}"
    return NewKey(visible, text, digest(text))


_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def key_id(text: str) -> str | None:
    """The visible part of what looks like one of our keys, else None."""
    found = _KEY.fullmatch(text)
    return found.group(1) if found else None


def digest(text: str) -> str:
    """What is kept of a secret drawn at random. Not for passwords, which people choose."""
    return hashlib.sha256(text.encode()).hexdigest()
