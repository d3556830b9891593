"""Pure rules: names of owners, keys, tokens, counters, permits."""

import base64
import json
import time

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.accounts.passwords import check_password
from imagemill.accounts.throttle import network
from imagemill.accounts.tokens import Tokens, UnusableKey
from imagemill.accounts.users import check_email
from imagemill.api.app import PUBLIC
from imagemill.domain import access
from imagemill.domain.access import Role, Scope, check_account, end_user
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import InvalidInput, Unauthenticated
from imagemill.web.policies import PathPolicies, PathPolicy

SECRET, FORMER = "s" * 40, "f" * 40
names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=60)


@given(names, names)
def test_two_end_users_are_never_one_owner(one: str, other: str) -> None:
    assert (end_user("app", one) == end_user("app", other)) == (one == other)


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=200))
def test_an_end_user_fits_its_column_and_begins_with_its_account(name: str) -> None:
    owner = end_user("a" * 24, name)
    assert owner.startswith("a" * 24 + ":")
    assert len(owner) <= 64


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\0", "x" * 201])
def test_what_is_no_name_of_an_end_user_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="X-Imagemill-User"):
        end_user("app", name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a:b", "a" * 25, "ä", "a b", "a\n"])
def test_what_is_no_name_of_an_account_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        check_account("owner", name)


def test_roles_grow_and_only_the_administrator_has_all() -> None:
    assert Role.USER.scopes < Role.OPERATOR.scopes < Role.ADMIN.scopes == frozenset(Scope)
    assert Role.VIEWER.scopes < Role.OPERATOR.scopes
    assert not [scope for scope in Role.VIEWER.scopes if scope.endswith(":write")]
    assert Scope.NODES_READ not in Role.USER.scopes
    assert Scope.JOBS_ALL not in Role.USER.scopes
    assert Scope.ADMIN not in Role.OPERATOR.scopes


def test_a_key_shows_its_visible_part_and_keeps_no_secret() -> None:
    drawn = access.draw()
    assert access.key_id(drawn.text) == drawn.id
    assert drawn.digest == access.digest(drawn.text)
    assert drawn.text not in repr(drawn.digest)
    assert len(base64.urlsafe_b64decode(drawn.text.split("_", 2)[2] + "=")) == 32
    assert access.draw().text != drawn.text


@pytest.mark.parametrize("text", ["", "im_", "im_abc_def", "xx" + "im_aaaaaaaaaaaa_" + "a" * 43])
def test_what_looks_like_no_key_has_no_id(text: str) -> None:
    assert access.key_id(text) is None


def tokens(*keys: str, algorithm: str = "HS256", life_s: float = 60) -> Tokens:
    return Tokens(algorithm, lambda: keys, life_s=life_s)


def test_a_token_is_read_by_who_signed_it_and_by_nobody_else() -> None:
    text, expires_at = tokens(SECRET).issue("ann", "session-1", now_us())
    claims = tokens(SECRET).read(text)
    assert claims is not None
    assert (claims.owner, claims.session, claims.expires_at) == ("ann", "session-1", expires_at)
    assert tokens(FORMER).read(text) is None


def test_keys_are_rotated_the_first_signs_and_all_verify() -> None:
    old, _ = tokens(FORMER).issue("ann", "s", now_us())
    rotated = tokens(SECRET, FORMER)
    assert rotated.read(old) is not None
    fresh, _ = rotated.issue("ann", "s", now_us())
    assert tokens(SECRET).read(fresh) is not None
    assert tokens(FORMER).read(fresh) is None


def test_an_expired_token_says_so() -> None:
    text, _ = tokens(SECRET).issue("ann", "s", now_us() - 121 * SECOND)
    with pytest.raises(Unauthenticated, match="expired"):
        tokens(SECRET).read(text)


@pytest.mark.parametrize("skew_s", [-100, -3, 3, 55])
def test_a_token_of_a_machine_whose_clock_differs_is_read(skew_s: int) -> None:
    text, _ = tokens(SECRET).issue("ann", "s", now_us() + skew_s * SECOND)
    assert tokens(SECRET).read(text) is not None


def test_a_token_from_far_in_the_future_is_none() -> None:
    text, _ = tokens(SECRET).issue("ann", "s", now_us() + 300 * SECOND)
    assert tokens(SECRET).read(text) is None


def header_of(text: str) -> dict[str, str]:
    return jwt.get_unverified_header(text)


def encoded(part: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def test_no_algorithm_is_no_signature() -> None:
    text, _ = tokens(SECRET).issue("ann", "s", now_us())
    forged = f"{encoded({**header_of(text), 'alg': 'none'})}.{text.split('.')[1]}."
    assert tokens(SECRET).read(forged) is None


def test_a_public_key_is_not_taken_for_a_secret() -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(65537, 2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    public = (
        private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    ours = tokens(pem, algorithm="RS256")
    text, _ = ours.issue("ann", "s", now_us())
    assert ours.read(text) is not None
    assert tokens(pem.replace("\n", "\\n"), algorithm="RS256").read(text) is not None, "as .env files have it"

    import hashlib
    import hmac

    head = encoded({**header_of(text), "alg": "HS256"})
    body = encoded({"iss": "imagemill", "sub": "admin", "sid": "s", "iat": 0, "exp": 9_999_999_999})
    mac = hmac.new(public.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    forged = f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    assert ours.read(forged) is None
    with pytest.raises(UnusableKey, match="public key"):
        tokens(public, algorithm="RS256").check()
    with pytest.raises(UnusableKey, match="does not fit"):
        tokens(SECRET, algorithm="RS256").check()


@pytest.mark.parametrize("claim", ["exp", "sid", "sub", "iss", "iat"])
def test_a_token_without_one_of_its_claims_is_none(claim: str) -> None:
    text, _ = tokens(SECRET).issue("ann", "s", now_us())
    claims = {"iss": "imagemill", "sub": "ann", "sid": "s", "iat": 0, "exp": time.time() + 60}
    del claims[claim]
    forged = jwt.encode(claims, SECRET, "HS256", headers={"kid": header_of(text)["kid"]})
    assert tokens(SECRET).read(forged) is None


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "....", "ä.ö.ü", "e30.e30.e30"])
def test_nonsense_is_no_token(text: str) -> None:
    assert tokens(SECRET).read(text) is None


def test_one_customer_of_ipv6_is_one_caller() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff:1") != network("2001:db8:0:1::1")
    assert network("::ffff:192.0.2.1") == network("192.0.2.1") == "192.0.2.1"
    assert network("not an address") == "not an address"


@pytest.mark.parametrize("email", ["", "ann", "@x", "ann@", "a b@c", "a@b@c", "a@b\n", "x" * 250 + "@b.org"])
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(InvalidInput):
        check_email("email", email + "\0" if email.endswith("\n") else email)


def test_addresses_are_kept_in_lower_case() -> None:
    assert check_email("email", " Ann@Example.ORG ") == "ann@example.org"


@pytest.mark.parametrize("password", ["short", "ann@example.org", "aaaaaaaaaaaa", "x" * 257])
def test_a_poor_password_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput):
        check_password("password", password, "ann@example.org")


def test_the_longest_permit_decides_and_what_nobody_declared_is_for_administrators() -> None:
    permits = PathPolicies(
        [
            *PUBLIC,
            PathPolicy("/a/", Scope.JOBS_READ, Scope.JOBS_WRITE),
            PathPolicy("/a/{b}/c", Scope.NODES_READ),
        ]
    )
    assert permits.of("/a/x").scope("GET") is Scope.JOBS_READ
    assert permits.of("/a/x").scope("DELETE") is Scope.JOBS_WRITE
    assert permits.of("/a/x/c").scope("GET") is Scope.NODES_READ
    assert permits.of("/a/x/y/c").scope("GET") is Scope.JOBS_READ
    assert permits.of("/a").scope("GET") is Scope.ADMIN
    assert permits.of("/a/x/c\n").scope("GET") is Scope.JOBS_READ
    assert not permits.declares("/b")
    assert permits.of("/health").scope("GET") is None
    assert permits.of("/healthy").scope("GET") is Scope.ADMIN
