"""Access control: scopes, roles, callers, account names and API keys."""

import hashlib
import re
import secrets
from enum import StrEnum

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import InvalidInput


class Scope(StrEnum):
    """Permission of a key or a session: a subject, and whether it may be changed."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    JOBS_ALL = "jobs:all"
    """The jobs of all owners, and what was made of them; to change them `jobs:write` is needed, too."""
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    WORKFLOWS_READ = "workflows:read"
    WORKFLOWS_WRITE = "workflows:write"
    NODES_READ = "nodes:read"
    NODES_WRITE = "nodes:write"
    ACCOUNT_READ = "account:read"
    """The caller's own balance, statement, limits, webhooks and keys."""
    ACCOUNT_WRITE = "account:write"
    METRICS_READ = "metrics:read"
    PARTNER = "partner"
    """Graphs with partner nodes of ComfyUI, which the operator pays for. No key has it unless it is named."""
    BOOKS_UNLOCK = "books:unlock"
    """Unlock paid books, for the shop's key. No key has it unless it is named."""
    ADMIN = "admin"
    """Other owners' accounts: grants, limits, disabling; and the audit log."""


class Role(StrEnum):
    USER = "user"
    VIEWER = "viewer"
    """Reads the jobs of all owners, nodes, models and metrics, and changes nothing."""
    OPERATOR = "operator"
    """A user who may also change the installation's nodes, models and shared workflows, and all jobs."""
    ADMIN = "admin"

    @property
    def scopes(self) -> frozenset[Scope]:
        return _SCOPES[self]


GRANTED = frozenset({Scope.PARTNER, Scope.BOOKS_UNLOCK})
"""Scopes that a key of any role may have, and that are never given without being named."""
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
READING = frozenset(
    {
        Scope.JOBS_READ,
        Scope.JOBS_ALL,
        Scope.MODELS_READ,
        Scope.WORKFLOWS_READ,
        Scope.NODES_READ,
        Scope.ACCOUNT_READ,
        Scope.METRICS_READ,
    }
)
"""The scopes of viewers and of read-only sessions."""
_OPERATOR = _USER | READING | {Scope.MODELS_WRITE, Scope.NODES_WRITE}
_SCOPES = {
    Role.USER: _USER,
    Role.VIEWER: READING,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: frozenset(Scope),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller of a request. It sees only what belongs to ``owner``."""

    owner: str
    role: Role
    scopes: frozenset[Scope]
    account: str
    """The account that is responsible for the owner: itself, or the account whose service key acts for it."""
    credential: str = ""
    """Id of the key or session, for the audit log."""
    is_unauthenticated_local: bool = False
    """Whether authentication is switched off; see `IMAGEMILL_AUTH__REQUIRED`."""

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes


EVERY_OWNER = "*"
"""The owner that an administrator names for the things of all owners; no owner is called so."""
ACCOUNT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,22}[a-z0-9])?")
"""Pattern of account names. With an end user's name appended they still fit the owner columns."""
MAX_END_USER = 200
_PLAIN = re.compile(r"[A-Za-z0-9._@+-]{1,39}")


def check_account(path: str, name: str) -> str:
    """Return the name if it is valid. Raises `InvalidInput` otherwise."""
    if not ACCOUNT.fullmatch(name):
        raise InvalidInput.at(
            path, f"is {name[:40]!r}; write 1 to 24 of a-z, 0-9 and -, beginning and ending with no -"
        )
    return name


def end_user(account: str, name: str) -> str:
    """Return the owner id of an account's end user. Raises `InvalidInput`.

    Two names never give the same owner: a name that is long or has special characters is replaced by its
    digest.
    """
    if not 1 <= len(name) <= MAX_END_USER or not name.isprintable() or name.isspace():
        raise InvalidInput.at("X-Imagemill-User", f"must be 1 to {MAX_END_USER} printable characters")
    return f"{account}:{name}" if _PLAIN.fullmatch(name) else f"{account}:{_digest(name)}"


def _digest(name: str) -> str:
    # `~` is not allowed in a plain name, so no plain name equals a digest.
    return "~" + hashlib.sha256(name.encode()).hexdigest()[:38]


# API keys

_KEY = re.compile(r"im_([a-z0-9]{12})_[A-Za-z0-9_-]{43}")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class NewKey:
    id: str
    """The visible part, which identifies the key to people and in logs."""
    text: str
    """The whole key; it is shown once and never stored."""
    digest: str


def draw() -> NewKey:
    """Create a key of 32 random bytes."""
    visible = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    text = f"im_{visible}_{secrets.token_urlsafe(32)}"
    return NewKey(visible, text, digest(text))


def key_id(text: str) -> str | None:
    """Return the visible part of a well-formed key, else None."""
    found = _KEY.fullmatch(text)
    return found.group(1) if found else None


def digest(text: str) -> str:
    """Return the SHA-256 that is stored of a random secret. Not for passwords, which people choose."""
    return hashlib.sha256(text.encode()).hexdigest()
