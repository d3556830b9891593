"""API keys and accounts: making and revoking them, within the scopes of the caller."""

from collections.abc import Callable, Iterable

from imagemill.accounts.store import AccountStore, ChangeOwner, Owner, RevokeKey, StoredKey
from imagemill.domain import access
from imagemill.domain.access import GRANTED, Caller, Role, Scope, check_account
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, Forbidden, InvalidInput, NotFound

MAX_LIFE_S = 10 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class KeyRequest:
    name: str = ""
    scopes: frozenset[Scope] | None = None
    """None means all scopes that both the owner's role and the maker have, without those of `GRANTED`."""
    is_service: bool = False
    life_s: float | None = None
    """None means that the key does not expire."""


@dataclass(frozen=True, slots=True)
class CreatedKey:
    key: StoredKey
    text: str
    """The key itself, shown once."""


class Keys:
    """The API keys. ``forget`` is called after each change, to empty caches of keys and owners."""

    def __init__(self, accounts: AccountStore, forget: Callable[[], None]) -> None:
        self._accounts = accounts
        self._forget = forget

    def make(self, request: KeyRequest, owner: str, maker: Caller | None = None) -> CreatedKey:
        """Make a key for ``owner``. ``maker`` None means direct access to the database.

        Raises `Forbidden` for rights the maker lacks, `NotFound` for an unknown owner.
        """
        account = self._accounts.owner(owner)
        if account is None:
            raise NotFound(f"there is no owner {owner}")
        if account.parent is not None:
            raise Conflict(f"{owner} is an end user: the service key of {account.parent} acts for it")
        possible = account.role.scopes | GRANTED
        allowed = possible & (maker.scopes if maker else possible)
        scopes = (
            _checked(request.scopes, allowed, account) if request.scopes is not None else allowed - GRANTED
        )
        now = now_us()
        expires_at = self._end(request, now, maker)
        if request.is_service and maker is not None and not self._may_serve(maker):
            raise Forbidden("isService: a key that is not a service key cannot make one")
        drawn = access.draw()
        key = StoredKey(
            drawn.id,
            owner,
            request.name,
            drawn.digest,
            frozenset(scopes),
            request.is_service,
            now,
            expires_at,
        )  # fmt: skip
        self._accounts.add_key(key)
        self._forget()
        return CreatedKey(key, drawn.text)

    def revoke(self, id_: str, owner: str | None = None) -> StoredKey:
        """Revoke a key; ``owner`` None means any owner's. Raises `NotFound`, for another owner's key too."""
        key = self._accounts.revoke_key(RevokeKey(id_, now_us(), owner))
        self._forget()
        return key

    def of(self, owner: str | None = None) -> list[StoredKey]:
        return list(self._accounts.keys(owner))

    def _end(self, request: KeyRequest, now: int, maker: Caller | None) -> int | None:
        """Return the key's end: no later than that of the key it is made with."""
        own = self._own_key(maker)
        latest = own.expires_at if own is not None else None
        if request.life_s is None:
            return latest
        expires_at = now + round(request.life_s * SECOND)
        if latest is not None and expires_at > latest:
            raise Forbidden("expiresInDays: this key expires before that itself")
        return expires_at

    def _may_serve(self, maker: Caller) -> bool:
        own = self._own_key(maker)
        return own is None or own.is_service

    def _own_key(self, maker: Caller | None) -> StoredKey | None:
        """Return the key the maker uses; None for a session, the settings' key or no maker."""
        found = self._accounts.key(maker.credential) if maker is not None else None
        return found[0] if found is not None else None


class Owners:
    def __init__(self, accounts: AccountStore, forget: Callable[[], None]) -> None:
        self._accounts = accounts
        self._forget = forget

    def add(self, id_: str, role: Role, name: str | None = None) -> Owner:
        """Add an account. Raises `InvalidInput`, or `Conflict` for a name that is taken."""
        owner = Owner(check_account("id", id_), role, now_us(), name=name or None)
        if self._accounts.owner(id_) is not None:
            raise Conflict(f"the owner {id_} exists already; change it instead")
        self._accounts.ensure_owner(owner)
        return owner

    def change(self, change: ChangeOwner, caller: Caller | None = None) -> Owner:
        """Change an account. Raises `NotFound`, or `Conflict` if administrators would lock themselves out."""
        if caller is not None and change.id == caller.account and not caller.is_unauthenticated_local:
            loses = change.role is not None and change.role is not caller.role
            if change.disabled or loses:
                raise Conflict(f"{change.id} is the account you call with; let another administrator do it")
        if change.role not in (None, Role.USER):
            there = self.get(change.id)
            if there.parent is not None:
                raise Conflict(f"{change.id} is an end user of {there.parent}, which is always a user")
        owner = self._accounts.change_owner(change)
        self._forget()
        return owner

    def get(self, id_: str) -> Owner:
        """Return an account. Raises `NotFound`."""
        owner = self._accounts.owner(id_)
        if owner is None:
            raise NotFound(f"there is no owner {id_}")
        return owner

    def page(self, parent: str | None, after: str, limit: int) -> list[Owner]:
        return list(self._accounts.owners(parent=parent, after=after, limit=limit))


def scopes_of(path: str, names: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes of these names. Raises `InvalidInput` for an unknown one."""
    found: set[Scope] = set()
    for name in names:
        try:
            found.add(Scope(name))
        except ValueError:
            known = ", ".join(scope.value for scope in Scope)
            raise InvalidInput.at(path, f"{name[:40]!r} is not a scope; one of {known}") from None
    return frozenset(found)


def _checked(wanted: frozenset[Scope], allowed: frozenset[Scope], account: Owner) -> frozenset[Scope]:
    if not wanted:
        raise InvalidInput.at("scopes", "is empty; omit it for all scopes you have")
    if more := sorted(scope.value for scope in wanted - account.role.scopes - GRANTED):
        raise Forbidden(f"scopes: {', '.join(more)} is beyond {account.id}, whose role is {account.role}")
    if more := sorted(scope.value for scope in wanted - allowed):
        raise Forbidden(f"scopes: {', '.join(more)} is beyond the key this was asked for with")
    return wanted
