"""Access tokens of sessions: JWTs that this installation signs and verifies."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import ImagemillError, Unauthenticated

if TYPE_CHECKING:
    from jwt.algorithms import Algorithm

_LEEWAY_S = 60
"""Seconds by which the clocks of two API machines may differ."""
_ISSUER = "imagemill"
_CLAIMS = ["exp", "iat", "iss", "sid", "sub"]


class UnusableKey(ImagemillError):
    """A key in the settings does not fit the algorithm."""

    code = "unusable_key"


@dataclass(frozen=True, slots=True)
class Claims:
    owner: str
    session: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class _Key:
    id: str
    sign: Any
    """None for a public key, which only verifies."""
    verify: Any


class Tokens:
    """``keys`` returns secrets or PEM keys; the first signs, all verify. It is called at the first use."""

    def __init__(self, algorithm: str, keys: Callable[[], Sequence[str]], *, life_s: float) -> None:
        self._algorithm = algorithm
        self._texts = keys
        self._life_s = life_s

    def issue(self, owner: str, session: str, now: int) -> tuple[str, int]:
        """Return a new token and its expiry in microseconds."""
        import jwt

        key = self._keys[0]
        expires_s = now // SECOND + round(self._life_s)
        claims = {"iss": _ISSUER, "sub": owner, "sid": session, "iat": now // SECOND, "exp": expires_s}
        text = jwt.encode(claims, key.sign, self._algorithm, headers={"kid": key.id})
        return text, expires_s * SECOND

    def read(self, text: str) -> Claims | None:
        """Return the claims of a token, None for any other text. Raises `Unauthenticated` when it has
        expired."""
        if text.count(".") != 2:
            return None
        import jwt

        try:
            key_id = jwt.get_unverified_header(text).get("kid")
            key = next((key for key in self._keys if key.id == key_id), None)
            if key is None:
                return None
            # The algorithm is that of the settings, never that of the token.
            found = jwt.decode(
                text,
                key.verify,
                [self._algorithm],
                issuer=_ISSUER,
                options={"require": _CLAIMS},
                leeway=_LEEWAY_S,
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("the token has expired; refresh it, or log in again") from error
        except jwt.InvalidTokenError:
            return None
        return Claims(str(found["sub"]), str(found["sid"]), int(found["exp"]) * SECOND)

    def check(self) -> None:
        """Raise `UnusableKey` when no token can be signed."""
        self.issue("nobody", "none", 0)

    @cached_property
    def _keys(self) -> "list[_Key]":
        import jwt

        algorithm = jwt.get_algorithm_by_name(self._algorithm)
        keys = [_key(algorithm, text.strip().replace("\\n", "\n")) for text in self._texts()]
        if keys[0].sign is None:
            raise UnusableKey("IMAGEMILL_AUTH__JWT_SECRET_KEY: this is a public key, which cannot sign")
        return keys


def _key(algorithm: "Algorithm", text: str) -> _Key:
    import jwt

    try:
        key: Any = algorithm.prepare_key(text)
    except (jwt.InvalidKeyError, ValueError, TypeError) as error:
        raise UnusableKey(f"IMAGEMILL_AUTH__JWT_SECRET_KEY does not fit the algorithm: {error}") from error
    if isinstance(key, bytes):
        return _Key(_key_id(key), key, key)
    if hasattr(key, "public_key"):
        public = key.public_key()
        return _Key(_key_id(_public_bytes(public)), key, public)
    return _Key(_key_id(_public_bytes(key)), None, key)


def _public_bytes(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key_id(key: bytes) -> str:
    """Return the id of a key: 12 characters of a digest of its digest, which reveal nothing of the key."""
    return hashlib.sha256(b"kid" + hashlib.sha256(key).digest()).hexdigest()[:12]
