"""Users, who log in with a password: sign-up, login, sessions and password resets."""

import hashlib
import logging
import re
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from imagemill.accounts.browser_sessions import BROWSER, is_browser
from imagemill.accounts.mail import Mail, MailTransport
from imagemill.accounts.passwords import Passwords, check_password
from imagemill.accounts.store import (
    AccountStore,
    AddReset,
    AddUser,
    ChangePassword,
    EndSession,
    Owner,
    Refresh,
    Session,
    SessionStore,
    User,
    UseReset,
    UserStore,
)
from imagemill.accounts.throttle import AttemptLimiter, network
from imagemill.accounts.tokens import Tokens
from imagemill.domain.access import Caller, Role, digest
from imagemill.domain.clock import SECOND, now_us, uuid7
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Busy, Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated
from imagemill.settings import AuthSettings

log = logging.getLogger(__name__)

SESSION = "session:"
"""The beginning of a caller's credential when it is a session."""
_RESET_S = 3600
_MOST_MAILS = 100
"""The most mails that may wait to be sent."""
_ADDRESS_TIMES, _ACCOUNT_TIMES = 5, 10
"""Factors of the login limit for all logins of an address and of an account.

Several users may share an address. The limit of an account is high, or anybody could lock it.
"""
_REFRESH = re.compile(r"imr_([A-Za-z0-9_-]{22})([A-Za-z0-9_-]{43})")
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}")


@dataclass(frozen=True, slots=True)
class LoggedIn:
    owner: Owner
    token: str
    expires_at: int
    refresh_token: str


class Users:
    """The users of this installation. Checking a password takes time, so such methods return a future.

    ``forget`` is called after each change, to empty caches of callers.
    """

    def __init__(
        self,
        accounts: AccountStore,
        store: UserStore,
        sessions: SessionStore,
        tokens: Tokens,
        passwords: Passwords,
        outbox: MailTransport | None,
        attempts: AttemptLimiter,
        settings: AuthSettings,
        forget: Callable[[], None],
        *,
        reset_url: str | None = None,
    ) -> None:
        self._accounts = accounts
        self._store = store
        self._sessions = sessions
        self._tokens = tokens
        self.passwords = passwords
        self._outbox = outbox
        self._attempts = attempts
        self._settings = settings
        self._session_us = round(settings.session_days * 86_400 * SECOND)
        self._reset_url = reset_url
        self._forget = forget
        self._mails = threading.BoundedSemaphore(_MOST_MAILS)
        self._mailer = ThreadPoolExecutor(1, thread_name_prefix="imagemill-mails")

    def close(self) -> None:
        self._mailer.shutdown(cancel_futures=True)
        self.passwords.close()

    def page(self, after: str, limit: int) -> list[tuple[User, Owner]]:
        """Return the users whose addresses come after ``after``, with their owners."""
        return self._store.page(after, limit)

    # Sign-up

    def check_sign_up(self, email: str, password: str, address: str) -> str:
        """Check a sign-up, count an attempt and return the normalized address.

        Raises `Forbidden`, `InvalidInput`, `TooManyAttempts`.
        """
        if not self._settings.sign_up:
            raise Forbidden("sign-up is disabled; the operator can set IMAGEMILL_AUTH__SIGN_UP=true")
        kept = check_email("email", email)
        check_password("password", password, kept)
        self._attempts.count({f"sign-up {network(address)}": self._settings.login_tries * _ADDRESS_TIMES})
        return kept

    def add(self, email: str, hash_: str, role: Role = Role.USER, name: str | None = None) -> Owner:
        """Add a user. Raises `Conflict` for an address or a name that is taken."""
        user = new_user(email, hash_, name)
        self._store.add(AddUser(user, role))
        self._forget()
        return Owner(user.owner, role, user.created_at)

    # Login

    def begin_login(self, email: str, password: str, address: str) -> "tuple[Future[bool], User | None]":
        """Begin a login: return whether the password fits, as a future, and its user. Reads the database.

        The results are the arguments of `log_in`. Raises `TooManyAttempts`, `Busy`.
        """
        kept = email.strip().lower()[:254]
        self._attempts.count(self._limits(kept, address))
        found = self._store.by_email(kept)
        user = found[0] if found is not None and found[1].disabled_at is None else None
        return self.passwords.verify(password, user.password if user else None), user

    def identify(self, user: User | None, fits: bool, address: str) -> Caller:
        """Return the user as a caller, for a session of a browser. Raises like `log_in`."""
        known, owner = self._checked(user, fits)
        self._attempts.reset(*self._limits(known.email, address))
        return Caller(owner.id, owner.role, owner.role.scopes, owner.id)

    def _checked(self, user: User | None, fits: bool) -> tuple[User, Owner]:
        if user is None or not fits:
            raise Unauthenticated("the e-mail address or the password is wrong")
        owner = self._accounts.owner(user.owner)
        if owner is None:
            raise NotFound(f"there is no owner {user.owner}")
        return user, owner

    def log_in(self, user: User | None, fits: bool, address: str) -> LoggedIn:
        """Begin a session. Raises the same `Unauthenticated` for a wrong address and a wrong password."""
        user, owner = self._checked(user, fits)
        now, family = now_us(), secrets.token_urlsafe(16)
        text = _refresh_token(family)
        session = Session(
            uuid7(now),
            user.owner,
            digest(text),
            digest(family),
            now,
            now + self._session_us,
        )
        self._sessions.add(session, forgiven=[*self._limits(user.email, address)])
        return self._logged_in(session, owner, text, now)

    def refresh(self, text: str) -> LoggedIn:
        """Replace the refresh token. Raises `Unauthenticated`; a former token ends the session: it may be
        stolen."""
        found = _REFRESH.fullmatch(text)
        if found is None:
            raise Unauthenticated("this is not a refresh token; log in again")
        now, fresh = now_us(), _refresh_token(found.group(1))
        request = Refresh(
            digest(text),
            digest(found.group(1)),
            digest(fresh),
            now,
            now + self._session_us,
        )
        answer = self._sessions.refresh(request)
        if answer.reused:
            self._forget()
            log.warning("a refresh token was used twice: session %s is revoked", answer.session.id)
            raise Unauthenticated("this refresh token was used already, so its session is over; log in again")
        owner = self._accounts.owner(answer.session.owner)
        if owner is None or owner.disabled_at is not None:
            raise Unauthenticated("the account is disabled")
        return self._logged_in(answer.session, owner, fresh, now)

    def log_out(self, caller: Caller) -> None:
        """End the caller's session. Raises `Conflict` for a caller without one."""
        if is_browser(caller):
            raise Conflict("this is a session of the web application; end it by DELETE /api/v1/session")
        self._sessions.end(EndSession(session_of(caller), now_us()))
        self._forget()

    # Passwords

    def check_change(self, caller: Caller, current: str, new: str) -> "tuple[Future[bool], User]":
        """Return whether the current password fits. Raises `InvalidInput`, `Conflict`, `TooManyAttempts`,
        `Busy`."""
        session_of(caller)
        found = self._store.of(caller.owner)
        if found is None:
            raise NotFound(f"{caller.owner} has no password")
        user = found[0]
        check_password("newPassword", new, user.email)
        self._attempts.count({f"change {user.owner}": self._settings.login_tries})
        return self.passwords.verify(current, user.password), user

    def change_password(self, caller: Caller, user: User, hash_: str) -> None:
        """Change the password and end all other sessions."""
        self._attempts.reset(f"change {user.owner}")
        change = ChangePassword(user.owner, hash_, now_us(), but=session_of(caller))
        self._store.change_password(change)
        self._forget()

    def set_password(self, owner: str, hash_: str) -> None:
        """Set a password for an administrator and end all sessions of the owner. Raises `NotFound`."""
        self._store.change_password(ChangePassword(owner, hash_, now_us()))
        self._forget()

    def forgot(self, email: str, address: str) -> None:
        """Send a reset mail if there is such a user; neither the answer nor its time reveals that.

        Counts an attempt. Raises `Conflict` when the server cannot send mail, `TooManyAttempts`, `Busy`.
        """
        outbox = self._outbox
        if outbox is None:
            raise Conflict(
                "no mail can be sent from here; the operator can set IMAGEMILL_MAIL__SMTP_HOST "
                "and IMAGEMILL_MAIL__SENDER"
            )
        kept = email.strip().lower()[:254]
        where = network(address)
        self._attempts.count(
            {
                f"forgot {where}": self._settings.login_tries * _ADDRESS_TIMES,
                f"forgot {_short(kept)}": self._settings.login_tries,
            }
        )
        if not self._mails.acquire(blocking=False):
            raise Busy("too many mails wait to be sent; try again in a moment")
        self._mailer.submit(self._send_reset, outbox, kept)

    def check_reset(self, token: str, password: str, address: str) -> None:
        """Check a reset and count an attempt. Raises `InvalidInput`, `TooManyAttempts`."""
        check_password("password", password, "")
        self._attempts.count({f"reset {network(address)}": self._settings.login_tries * _ADDRESS_TIMES})
        if not 20 <= len(token) <= 100:
            raise InvalidInput.at("token", "is not a token of a reset mail")

    def reset(self, token: str, hash_: str) -> None:
        """Set a new password by a reset token. Raises `InvalidInput`."""
        try:
            self._store.use_reset(UseReset(digest(token), hash_, now_us()))
        except NotFound as error:
            raise InvalidInput.at("token", f"does not work: {error}") from error
        self._forget()

    def _send_reset(self, outbox: MailTransport, email: str) -> None:
        try:
            found = self._store.by_email(email)
            if found is None or found[1].disabled_at is not None:
                return
            token, now = secrets.token_urlsafe(32), now_us()
            self._store.add_reset(AddReset(digest(token), found[0].owner, now, now + _RESET_S * SECOND))
            outbox.send(_reset_mail(email, token, self._reset_url))
        except Exception:
            # No request waits for it, and the log must not contain the address.
            log.exception("the mail to reset a password could not be sent")
        finally:
            self._mails.release()

    def _limits(self, email: str, address: str) -> dict[str, int]:
        tries, where, who = self._settings.login_tries, network(address), _short(email)
        return {
            f"login {who} {where}": tries,
            f"login {where}": tries * _ADDRESS_TIMES,
            f"login {who}": tries * _ACCOUNT_TIMES,
        }

    def _logged_in(self, session: Session, owner: Owner, refresh_token: str, now: int) -> LoggedIn:
        token, expires_at = self._tokens.issue(session.owner, session.id, now)
        return LoggedIn(owner, token, expires_at, refresh_token)


class SessionTokens:
    """Finds the callers of access tokens for `imagemill.accounts.access.Access`."""

    def __init__(self, sessions: SessionStore, tokens: Tokens) -> None:
        self._sessions = sessions
        self._tokens = tokens

    def caller(self, text: str) -> Caller | None:
        """Return the caller of a token, or None. Raises `Unauthenticated` when the session has ended."""
        claims = self._tokens.read(text)
        if claims is None:
            return None
        found = self._sessions.get(claims.session)
        if found is None or found[0].owner != claims.owner:
            raise Unauthenticated("the session of this token is over; log in again")
        session, owner = found
        if session.revoked_at is not None or session.expires_at <= now_us():
            raise Unauthenticated("the session of this token is over; log in again")
        if owner.disabled_at is not None:
            raise Unauthenticated(f"the account {owner.id} is disabled")
        return Caller(owner.id, owner.role, owner.role.scopes, owner.id, f"{SESSION}{session.id}")


def new_user(email: str, hash_: str, name: str | None = None) -> User:
    """Return a new user. ``name`` is that of its owner; None means a random one."""
    now = now_us()
    return User(name or f"u-{secrets.token_hex(8)}", email, hash_, now, now)


def session_of(caller: Caller) -> str:
    """Return the caller's session. Raises `Conflict` for a caller without one."""
    if not caller.credential.startswith((SESSION, BROWSER)):
        raise Conflict("this needs a session; a key has no session and no password")
    return caller.credential.partition(":")[2]


def check_email(path: str, text: str) -> str:
    """Return the address in lower case. Raises `InvalidInput` when it is not an e-mail address."""
    email = text.strip().lower()
    if len(email) > 254 or not _EMAIL.fullmatch(email):
        raise InvalidInput.at(path, "is not an e-mail address; one looks like ann@example.org")
    return email


def _refresh_token(family: str) -> str:
    return f"imr_{family}{secrets.token_urlsafe(32)}"


def _short(email: str) -> str:
    """Return a digest of the address to count it by, since clients may send long texts."""
    return hashlib.sha256(email.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _reset_mail(email: str, token: str, url: str | None) -> Mail:
    way = (
        f"Open this address:\n\n{url.replace('{token}', token)}"
        if url
        else f"Use this token as `token` of POST /api/v1/auth/reset-password:\n\n{token}"
    )
    text = (
        f"Somebody, probably you, wants to choose a new password.\n\n{way}\n\n"
        "It works once, for an hour. If it was not you, do nothing: the old password stays.\n"
    )
    return Mail(email, "Choose a new password", text)
