"""Authentication of requests. It runs before any route, so that no route can omit it."""

import hmac
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

from fastapi import Request
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagemill.accounts.access import Access, Credentials
from imagemill.accounts.audit import Audit
from imagemill.accounts.browser_sessions import csrf_token, is_browser
from imagemill.accounts.tickets import SocketTickets
from imagemill.domain.access import EVERY_OWNER, Caller
from imagemill.domain.access import Scope as AccessScope
from imagemill.domain.errors import (
    Forbidden,
    ImagemillError,
    InvalidInput,
    NotFound,
    TooManyAttempts,
    Unauthenticated,
)
from imagemill.net import pools
from imagemill.quotas.service import RequestLimiter
from imagemill.web.http import addressed_host, is_own_page, is_same_site
from imagemill.web.middleware import client_address
from imagemill.web.policies import AUDITED, ERROR_SHAPE, POLICY, SAFE, UNDECLARED, CorsClass, PathPolicy
from imagemill.web.problems import STATUSES, problem_of
from imagemill.web.rate_limit import counted

UNAUTHENTICATED, FORBIDDEN, RATE_LIMITED = 4401, 4403, 4429
"""Close codes of WebSockets."""
_OF_JOBS = frozenset({AccessScope.JOBS_READ, AccessScope.JOBS_WRITE})
_LONGEST_COOKIE = 200
_CLOSE_CODES = {401: UNAUTHENTICATED, 429: RATE_LIMITED}

COOKIE = "imagemill_session"
"""The name of a session's cookie; on another port than 80 and 443 followed by ``_`` and the port."""
CSRF_HEADER = "X-CSRF-Token"
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def caller(request: HTTPConnection) -> Caller:
    """Return the caller of a request."""
    found = request.scope["imagemill.caller"]
    assert isinstance(found, Caller)  # noqa: S101 - the gate puts it there
    return found


def audit_target(request: HTTPConnection, target: str) -> None:
    """Set the target in the audit log where the path does not contain it, for example a new id."""
    request.scope["imagemill.target"] = target


def audit_change(request: HTTPConnection, change: str) -> None:
    """Set the details of the change in the audit log, such as the new value."""
    request.scope["imagemill.change"] = change


async def optional_caller(
    request: HTTPConnection, access: Access, pool: pools.BlockingPool = pools.authenticate
) -> Caller | None:
    """Return the caller of a route that needs no key; None for an unknown one."""
    try:
        credentials = _credentials(request.scope)
        found = access.remembered(credentials)
        address = client_address(request.scope)
        return found or await pool(access.caller, credentials, address)
    except (Unauthenticated, Forbidden, InvalidInput, TooManyAttempts):
        return None


class AuthMiddleware:
    """Authenticates requests. Pure ASGI, inside `imagemill.web.middleware.EdgeMiddleware`."""

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        audit: Audit,
        throttle: RequestLimiter | None = None,
        tickets: SocketTickets | None = None,
    ) -> None:
        self._app = app
        self._throttle = throttle
        self._access = access
        self._audit = audit
        self._tickets = tickets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            policy: PathPolicy = scope[POLICY]
            scope[ERROR_SHAPE] = policy.errors
            try:
                await self._admit(scope, policy)
                send = await counted(self._throttle, scope, send)
                acts_for_another = await self._choose_owner(scope, policy)
            except ImagemillError as error:
                await _refuse(scope, receive, send, error)
                return
            if scope["type"] == "http" and (
                _is_audited(scope["method"], policy) or (acts_for_another and scope["method"] not in SAFE)
            ):
                send = self._auditing(scope, send)
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope, policy: PathPolicy) -> None:
        method = scope.get("method", "GET")
        needed = policy.scope(method)
        if needed is None or (policy.signed and _is_signed(scope)):
            _check_site(scope, method)
            return
        ticket = _take_ticket(scope) if scope["type"] == "websocket" else ""
        credentials = _credentials(scope)
        found = self._access.remembered(credentials) if not ticket else None
        if ticket and self._tickets is not None:
            found = await pools.authenticate(self._tickets.redeem, ticket)
        elif found is None:
            found = await pools.authenticate(self._access.caller, credentials, client_address(scope))
        scope["imagemill.caller"] = found
        if found.is_unauthenticated_local:
            _check_page(scope)
        elif is_browser(found) and not ticket:
            check_cookie(scope, credentials.cookie, method)
        if not found.may(needed):
            if policy is UNDECLARED:
                raise NotFound(
                    f"there is no {method} {_shown(scope['path'])} here; /docs lists what there is"
                )
            raise Forbidden(f"this needs the scope {needed.value!r}, which the key or session does not have")

    async def _choose_owner(self, scope: Scope, policy: PathPolicy) -> bool:
        """Replace the caller's owner by that of the query; return whether one is named.

        Administrators may name one wherever the policy allows it, callers with `jobs:all` where the scopes of
        jobs are needed.

        Raises `Forbidden`, `NotFound` for an unknown owner.
        """
        method = scope.get("method", "GET")
        allowed = ("GET" if method == "HEAD" else method) in policy.owner_methods
        if not allowed or b"owner" not in scope["query_string"]:
            return False
        given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        names = {value for name, value in given if name == "owner" and value}
        rest = [(name, value) for name, value in given if name != "owner"]
        scope["query_string"] = urlencode(rest).encode()
        found = scope["imagemill.caller"]
        if names <= {found.owner}:
            return False
        if len(names) > 1:
            raise InvalidInput.at("owner", "is there more than once; name one owner")
        (name,) = names
        of_jobs = policy.scope(method) in _OF_JOBS
        if not found.may(AccessScope.ADMIN) and not (of_jobs and found.may(AccessScope.JOBS_ALL)):
            needed = "the scope 'jobs:all'" if of_jobs else "an administrator"
            raise Forbidden(f"owner: naming another owner needs {needed}")
        if name == EVERY_OWNER and not policy.all_owners:
            raise InvalidInput.at("owner", "is '*', which is not possible here; name one owner")
        if name != EVERY_OWNER:
            await pools.authenticate(self._access.check_owner, name)
        scope["imagemill.caller"] = replace(found, owner=name)
        return True

    def _auditing(self, scope: Scope, send: Send) -> Send:
        """Return a ``send`` that writes the audit entry before the response."""
        found: Caller = scope["imagemill.caller"]

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                route = getattr(scope.get("route"), "path", scope["path"])
                target = scope.get("imagemill.target") or scope["path"]
                await pools.write(
                    self._audit.note,
                    found.account,
                    found.credential,
                    f"{scope['method']} {route}",
                    target,
                    detail=_detail(scope, found),
                    address=client_address(scope),
                )
            await send(message)

        return sending


def _detail(scope: Scope, found: Caller) -> str:
    acting = f"for {found.owner}" if found.owner != found.account else ""
    return "; ".join(part for part in (scope.get("imagemill.change", ""), acting) if part)


def _shown(path: str) -> str:
    """Return a client's text shortened for an error message."""
    return "".join(sign if sign.isprintable() else "?" for sign in path[:200])


def _is_audited(method: str, policy: PathPolicy) -> bool:
    needed = policy.scope(method)
    return method not in SAFE and needed is not None and (policy.audited or needed in AUDITED)


def cookie_name(request: HTTPConnection) -> str:
    """Return the name of the session's cookie. It has the port, as browsers send cookies to all ports."""
    _, separator, port = addressed_host(request).rpartition(":")
    return f"{COOKIE}_{port}" if separator and port.isdigit() else COOKIE


def session_cookie(request: HTTPConnection) -> str:
    """Return the content of the session's cookie; empty without one, or beside an Authorization header."""
    cookies = request.headers.getlist("cookie")
    if not cookies or request.headers.get("authorization") is not None:
        return ""
    name = cookie_name(request)
    for header in cookies:
        for part in header.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name and len(value) <= _LONGEST_COOKIE:
                return value
    return ""


def check_cookie(scope: Scope, cookie: str, method: str) -> None:
    """Refuse a request that another page may have made a browser send with the cookie. Raises `Forbidden`."""
    request = HTTPConnection(scope)
    if not is_own_page(request):
        raise Forbidden("the session's cookie works on pages of this server only; other pages need a key")
    if scope["type"] == "http" and method not in SAFE:
        given = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(given.encode(), csrf_token(cookie).encode()):
            raise Forbidden(
                f"{CSRF_HEADER}: is missing or not that of this session; GET /api/v1/session has it as `csrf`"
            )


def _credentials(scope: Scope) -> Credentials:
    """Return the credentials of a request.

    Raises `InvalidInput` for a repeated header: a proxy may have checked another one of them.
    """
    authorization = _only(scope, b"authorization")
    acting_for = _only(scope, b"x-imagemill-user")
    return Credentials(
        (authorization or b"").decode("latin-1"),
        _text(acting_for) if acting_for is not None else None,
        session_cookie(HTTPConnection(scope)) if authorization is None else "",
    )


def _is_signed(scope: Scope) -> bool:
    """Whether the request has a signature in place of a key."""
    names = {name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)}
    return "sig" in names and not _only(scope, b"authorization")


def _only(scope: Scope, name: bytes) -> bytes | None:
    values = [value for key, value in scope["headers"] if key == name]
    if len(values) > 1:
        raise InvalidInput.at(name.decode().title(), "is present more than once; send it once")
    return values[0] if values else None


def _text(value: bytes) -> str:
    """Decode a header: as UTF-8, in which clients may send names, or else as Latin-1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _take_ticket(scope: Scope) -> str:
    """Return the ticket in the query of a WebSocket and remove it, so that no log and no error shows it."""
    given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if "ticket" not in dict(given):
        return ""
    rest = [(name, value) for name, value in given if name != "ticket"]
    scope["query_string"] = urlencode(rest).encode()
    return dict(given)["ticket"]


def _check_page(scope: Scope) -> None:
    """Refuse pages of other sites where no key is needed: they may neither read nor change anything."""
    if not is_same_site(HTTPConnection(scope)):
        raise Forbidden(
            "another site's page may not call a server that needs no key; the operator can list its origin "
            "in IMAGEMILL_CORS__ORIGINS, or create a key with `imagemill keys create`"
        )


def _check_site(scope: Scope, method: str) -> None:
    acts = method not in SAFE or scope["type"] == "websocket"
    if acts and scope[POLICY].cors is CorsClass.OWN and not is_same_site(HTTPConnection(scope)):
        raise Forbidden("this route may not be called from another site's page")


async def _refuse(scope: Scope, receive: Receive, send: Send, error: ImagemillError) -> None:
    status = STATUSES[error.code]
    if scope["type"] == "websocket":
        # Accepted first: only then can a browser's script read the close code.
        await receive()
        await send({"type": "websocket.accept"})
        code = _CLOSE_CODES.get(status, FORBIDDEN)
        await send({"type": "websocket.close", "code": code, "reason": str(error)[:120]})
        return
    headers = _CHALLENGE if status == 401 else None
    await problem_of(Request(scope), error, headers)(scope, receive, send)
