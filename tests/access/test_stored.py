"""Accounts, users, sessions and the audit log in the store, on both databases."""

import pytest

from imagemill.accounts.audit import AuditEntry
from imagemill.accounts.store import (
    AddReset,
    AddUser,
    ChangeOwner,
    ChangePassword,
    EndSession,
    Owner,
    Refresh,
    RevokeKey,
    Session,
    StoredKey,
    UseKey,
    User,
    UseReset,
)
from imagemill.bootstrap.stores import Stores
from imagemill.domain.access import Role, Scope
from imagemill.domain.clock import SECOND
from imagemill.domain.errors import Conflict, NotFound, Unauthenticated
from tests.store.build import T0, in_threads

LIFE = 100 * SECOND


def account(store: Stores, id_: str = "ann", role: Role = Role.USER) -> Owner:
    store.accounts.ensure_owner(Owner(id_, role, T0))
    found = store.accounts.owner(id_)
    assert found is not None
    return found


def key(id_: str = "key1", owner: str = "ann") -> StoredKey:
    return StoredKey(id_, owner, "", "d" * 64, frozenset({Scope.JOBS_READ}), False, T0)


def user(owner: str = "ann", email: str = "ann@example.org") -> User:
    return User(owner, email, "hash", T0, T0)


def session(store: Stores, id_: str = "s1", owner: str = "ann") -> Session:
    made = Session(id_, owner, f"{id_}-1", f"{id_}-family", T0, T0 + LIFE)
    store.sessions.add(made)
    return made


def refresh(store: Stores, shown: str, fresh: str, family: str = "s1-family", at: int = T0) -> bool:
    """Whether a former token was shown."""
    return store.sessions.refresh(Refresh(shown, family, fresh, at, at + LIFE)).reused


def test_a_key_comes_back_with_its_owner(store: Stores) -> None:
    owner = account(store)
    store.accounts.add_key(key())
    assert store.accounts.key("key1") == (key(), owner)
    assert store.accounts.keys("ann") == [key()]
    assert store.accounts.keys("bob") == []
    store.accounts.use_key(UseKey("key1", T0 + 1))
    assert store.accounts.keys()[0].used_at == T0 + 1


def test_a_key_needs_an_owner_and_an_id_of_its_own(store: Stores) -> None:
    with pytest.raises(NotFound):
        store.accounts.add_key(key())
    account(store)
    store.accounts.add_key(key())
    with pytest.raises(Conflict):
        store.accounts.add_key(key())


def test_a_key_is_revoked_once_and_by_its_owner_only(store: Stores) -> None:
    account(store)
    store.accounts.add_key(key())
    with pytest.raises(NotFound):
        store.accounts.revoke_key(RevokeKey("key1", T0, owner="bob"))
    assert store.accounts.revoke_key(RevokeKey("key1", T0 + 1, owner="ann")).revoked_at == T0 + 1
    assert store.accounts.revoke_key(RevokeKey("key1", T0 + 9)).revoked_at == T0 + 1


def test_a_database_that_ever_had_a_key_is_never_open_again(store: Stores) -> None:
    assert not store.accounts.has_credentials()
    account(store)
    assert not store.accounts.has_credentials()
    store.accounts.add_key(key())
    store.accounts.revoke_key(RevokeKey("key1", T0))
    assert store.accounts.has_credentials()


def test_an_owner_is_changed_in_parts(store: Stores) -> None:
    account(store)
    store.accounts.change_owner(ChangeOwner("ann", T0, weight=2.5))
    store.accounts.change_owner(ChangeOwner("ann", T0, role=Role.OPERATOR, name="Ann"))
    changed = store.accounts.change_owner(ChangeOwner("ann", T0 + 5, disabled=True))
    assert (changed.weight, changed.role, changed.name) == (2.5, Role.OPERATOR, "Ann")
    assert store.accounts.change_owner(ChangeOwner("ann", T0 + 9, disabled=True)).disabled_at == T0 + 5
    assert store.accounts.change_owner(ChangeOwner("ann", T0, disabled=False)).disabled_at is None
    with pytest.raises(NotFound):
        store.accounts.change_owner(ChangeOwner("bob", T0, weight=1))


def test_owners_are_listed_in_pages_and_end_users_apart(store: Stores) -> None:
    for name in ("ann", "bob", "cat"):
        account(store, name)
    store.accounts.ensure_owner(Owner("ann:x", Role.USER, T0, parent="ann", name="x"))
    assert [owner.id for owner in store.accounts.owners(limit=2)] == ["ann", "bob"]
    assert [owner.id for owner in store.accounts.owners(after="bob")] == ["cat"]
    assert [owner.id for owner in store.accounts.owners(parent="ann")] == ["ann:x"]


def test_an_address_belongs_to_one_user(store: Stores) -> None:
    store.users.add(AddUser(user(), Role.USER))
    with pytest.raises(Conflict, match=r"ann@example\.org"):
        store.users.add(AddUser(user("bob"), Role.USER))
    with pytest.raises(Conflict, match="owner ann"):
        store.users.add(AddUser(user("ann", "other@example.org"), Role.USER))
    found = store.users.by_email("ann@example.org")
    assert found is not None
    assert (found[0], found[1].role) == (user(), Role.USER)
    assert store.users.of("bob") is None
    assert store.accounts.has_credentials()


def test_of_many_who_want_an_address_one_gets_it(store: Stores) -> None:
    work = [lambda n=n: store.users.add(AddUser(user(f"u{n}"), Role.USER)) for n in range(8)]
    answers = in_threads(work)
    assert [type(answer) for answer in answers].count(Conflict) == 7


def test_a_refresh_token_works_once(store: Stores) -> None:
    account(store)
    session(store)
    assert not refresh(store, "s1-1", "s1-2")
    assert not refresh(store, "s1-2", "s1-3")


@pytest.mark.parametrize("former", ["s1-1", "s1-2"])
def test_a_former_refresh_token_ends_the_session_however_old_it_is(store: Stores, former: str) -> None:
    account(store)
    session(store)
    refresh(store, "s1-1", "s1-2")
    refresh(store, "s1-2", "s1-3")
    assert refresh(store, former, "stolen")
    with pytest.raises(Unauthenticated):
        refresh(store, "s1-3", "s1-4")
    found = store.sessions.get("s1")
    assert found is not None
    assert found[0].revoked_at is not None


def test_a_guessed_refresh_token_ends_nothing(store: Stores) -> None:
    account(store)
    session(store)
    with pytest.raises(Unauthenticated):
        refresh(store, "guess", "x", family="guess")
    assert not refresh(store, "s1-1", "s1-2")


def test_of_two_that_refresh_at_once_one_wins_and_the_session_ends(store: Stores) -> None:
    account(store)
    session(store)
    answers = in_threads([lambda n=n: refresh(store, "s1-1", f"s1-{n}") for n in (2, 3)])
    assert sorted(map(str, answers)) == ["False", "True"]


def test_a_session_that_is_too_old_is_over_and_forgotten(store: Stores) -> None:
    account(store)
    session(store)
    with pytest.raises(Unauthenticated):
        refresh(store, "s1-1", "s1-2", at=T0 + LIFE)
    store.sessions.add(Session("s2", "ann", "s2-1", "f", T0 + LIFE + 1, T0 + 3 * LIFE))
    assert store.sessions.get("s1") is None


def test_a_new_password_ends_all_sessions_but_one(store: Stores) -> None:
    store.users.add(AddUser(user(), Role.USER))
    for name in ("s1", "s2"):
        session(store, name)
    store.users.change_password(ChangePassword("ann", "new", T0 + 1, but="s2"))
    ended = [found[0].revoked_at for name in ("s1", "s2") if (found := store.sessions.get(name))]
    assert ended == [T0 + 1, None]
    store.sessions.end(EndSession("s2", T0 + 2))
    with pytest.raises(NotFound):
        store.users.change_password(ChangePassword("bob", "new", T0))


def test_a_reset_works_once_and_takes_the_others_with_it(store: Stores) -> None:
    store.users.add(AddUser(user(), Role.USER))
    session(store)
    for name in ("one", "two"):
        store.users.add_reset(AddReset(name, "ann", T0, T0 + LIFE))
    assert store.users.use_reset(UseReset("one", "new", T0 + 1)) == "ann"
    for name in ("one", "two", "three"):
        with pytest.raises(NotFound):
            store.users.use_reset(UseReset(name, "newer", T0 + 2))
    found, kept = store.users.of("ann"), store.sessions.get("s1")
    assert found is not None
    assert kept is not None
    assert (found[0].password, kept[0].revoked_at) == ("new", T0 + 1)


def test_a_reset_is_over_after_its_time(store: Stores) -> None:
    store.users.add(AddUser(user(), Role.USER))
    store.users.add_reset(AddReset("one", "ann", T0, T0 + LIFE))
    with pytest.raises(NotFound):
        store.users.use_reset(UseReset("one", "new", T0 + LIFE))


def test_the_audit_log_is_read_backwards_in_pages(store: Stores) -> None:
    for n in range(5):
        store.audit.add(AuditEntry(f"id-{n}", T0 + n, "ann" if n % 2 else "bob", "", "act", "", "", ""))
    assert [entry.id for entry in store.audit.page(None, 2)] == ["id-4", "id-3"]
    assert [entry.id for entry in store.audit.page("id-3", 9)] == ["id-2", "id-1", "id-0"]
    assert [entry.id for entry in store.audit.page(None, 9, "ann")] == ["id-3", "id-1"]
