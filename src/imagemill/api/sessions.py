"""``/api/v1/session`` and ``/api/v1/sessions``: signing in to the web application, in a cookie."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from imagemill.accounts.access import Credentials
from imagemill.accounts.browser_sessions import (
    BROWSER,
    LONGEST_S,
    BrowserSession,
    NewBrowserSession,
    SignIn,
    csrf_token,
    is_browser,
)
from imagemill.api.accounts_schemas import CallerInfo, caller_body
from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.jobs_schemas import moment
from imagemill.domain.access import Caller, Scope
from imagemill.domain.errors import Conflict, InvalidInput
from imagemill.net import pools
from imagemill.web.auth import caller, check_cookie, cookie_name, optional_caller, session_cookie
from imagemill.web.http import json_response
from imagemill.web.middleware import client_address
from imagemill.web.policies import CHANGING, READING, PathPolicy
from imagemill.web.routing import WRITE_ONLY, ApiRoute, RequestModel, ResponseModel

_AT, _LATER = "2026-01-31T12:00:00+00:00", "2026-02-07T12:00:00+00:00"
_SESSION = {
    "id": "0192f3a4-0000-7000-8000-000000000000",
    "owner": "shop",
    "credential": "3f9ab2c81d04",
    "readOnly": False,
    "address": "127.0.0.1",
    "browser": "Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0",
    "createdAt": _AT,
    "usedAt": _AT,
    "expiresAt": _LATER,
    "current": True,
}
_SECRET: dict[str, Any] = {"max_length": 4096, "json_schema_extra": WRITE_ONLY}
_PAGE_OFF = "no sign-in is needed on this server until its first key or user is made"


class SignInBody(RequestModel):
    model_config = {
        "json_schema_extra": {
            "examples": [{"email": "ann@example.org", "password": "correct horse battery staple"}]
        }
    }

    email: str | None = Field(None, max_length=254, description="With `password`.")
    password: str | None = Field(None, max_length=1000, json_schema_extra=WRITE_ONLY)
    key: str | None = Field(None, description="An API key, in place of `email`.", **_SECRET)
    code: str | None = Field(
        None, description="The code of a one-time sign-in link, in place of `email`.", **_SECRET
    )
    read_only: bool = Field(
        False, description="The session changes nothing and has the scopes of viewers at most."
    )


class BrowserSessionInfo(ResponseModel):
    model_config = {"json_schema_extra": {"examples": [_SESSION]}}

    id: str
    owner: str
    credential: str | None = Field(description="Id of the key it began with; null for a password.")
    read_only: bool
    address: str = Field(description="Network address it began from.")
    browser: str = Field(description="User-Agent it began with.")
    created_at: datetime
    used_at: datetime = Field(description="Last use, to ten minutes.")
    expires_at: datetime = Field(description="When it ends unless it is used before.")
    current: bool = Field(description="Whether the request was made with it.")


class BrowserSessionList(ResponseModel):
    items: list[BrowserSessionInfo]


class SignInState(ResponseModel):
    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "signedIn": True,
                    "needsSignIn": True,
                    "csrf": "5f2b...",
                    "me": {
                        "owner": "shop",
                        "account": "shop",
                        "role": "user",
                        "scopes": ["jobs:read"],
                        "credential": "browser:0192f3a4-0000-7000-8000-000000000000",
                        "open": False,
                    },
                    "session": _SESSION,
                }
            ]
        }
    }

    signed_in: bool = Field(description="Whether the request has a valid session or key.")
    needs_sign_in: bool = Field(description="False while no key is needed on this machine.")
    csrf: str | None = Field(description="Sent as `X-CSRF-Token` with every change that uses the cookie.")
    me: CallerInfo | None = Field(description="The caller; null for an unknown one.")
    session: BrowserSessionInfo | None = Field(description="Null for a key.")


router = APIRouter(prefix="/api/v1", tags=["accounts"], route_class=ApiRoute)
SessionId = Annotated[str, Path(description="`id` of the session.", max_length=64)]


@router.post(
    "/session",
    summary="Sign in to the web application, by a cookie",
    status_code=201,
    response_model=SignInState,
)
async def sign_in(request: Request, services: ServicesDep, body: SignInBody) -> Response:
    given = SignIn(body.read_only, client_address(request.scope), request.headers.get("user-agent", ""))
    if body.code is not None:
        made = await pools.write(services.browser_sessions.redeem, body.code, given)
    else:
        found = await _identify(services, body, given.address)
        made = await pools.write(services.browser_sessions.begin, found, given)
    me = await pools.authenticate(services.access.caller, Credentials(cookie=made.text))
    answer = json_response(_state(services, me, made.session, made.text), 201)
    _set_cookie(request, answer, made)
    return answer


@router.get("/session", summary="Read whether you are signed in, and as whom", response_model=SignInState)
async def get_session(request: Request, services: ServicesDep) -> Response:
    me = await optional_caller(request, services.access)
    session = await pools.read(services.browser_sessions.get, me) if me is not None else None
    return json_response(
        _state(services, me, session, session_cookie(request) if session is not None else "")
    )


@router.delete("/session", summary="Sign out of the web application", status_code=204)
async def sign_out(request: Request, services: ServicesDep) -> Response:
    me = await optional_caller(request, services.access)
    if me is not None and is_browser(me):
        check_cookie(request.scope, session_cookie(request), request.method)
        await pools.write(services.browser_sessions.end, me.credential.removeprefix(BROWSER))
    answer = Response(status_code=204)
    answer.delete_cookie(cookie_name(request), path="/", samesite="strict", httponly=True)
    return answer


@router.get("/sessions", summary="List where you are signed in", response_model=BrowserSessionList)
async def list_sessions(request: Request, services: ServicesDep) -> Response:
    me = caller(request)
    found = await pools.read(services.browser_sessions.of, me.owner)
    return json_response({"items": [_session_body(session, me) for session in found]})


@router.delete("/sessions/{session}", summary="End a session", status_code=204)
async def end_session(request: Request, services: ServicesDep, session: SessionId) -> Response:
    await pools.write(services.browser_sessions.end, session, caller(request).owner)
    return Response(status_code=204)


async def _identify(services: Services, body: SignInBody, address: str) -> Caller:
    """Return the caller of the key or password.

    Raises `InvalidInput`, `Unauthenticated`, `TooManyAttempts`.
    """
    if body.key is not None:
        if await pools.read(services.access.is_open):
            raise Conflict(_PAGE_OFF)
        key = Credentials(f"Bearer {body.key.strip()}")
        return await pools.authenticate(services.access.caller, key, address)
    if body.email is None or body.password is None:
        missing = "password" if body.password is None and body.email is not None else "email"
        raise InvalidInput.at(missing, "is missing; send `email` and `password`, or `key`")
    checking, user = await pools.write(services.users.begin_login, body.email, body.password, address)
    fits = await asyncio.wrap_future(checking)
    return await pools.write(services.users.identify, user, fits, address)


def _set_cookie(request: Request, answer: Response, made: NewBrowserSession) -> None:
    answer.set_cookie(
        cookie_name(request),
        made.text,
        max_age=LONGEST_S,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def _state(
    services: Services, me: Caller | None, session: BrowserSession | None, cookie: str
) -> dict[str, Any]:
    return {
        "signedIn": me is not None and not me.is_unauthenticated_local,
        "needsSignIn": not (me is not None and me.is_unauthenticated_local),
        "csrf": csrf_token(cookie) if cookie else None,
        "me": caller_body(me) if me is not None else None,
        "session": _session_body(session, me) if session is not None else None,
    }


def _session_body(session: BrowserSession, me: Caller | None) -> dict[str, Any]:
    return {
        "id": session.id,
        "owner": session.owner,
        "credential": session.credential.partition(":")[0] or None,
        "readOnly": session.is_read_only,
        "address": session.address,
        "browser": session.browser,
        "createdAt": moment(session.created_at),
        "usedAt": moment(session.used_at),
        "expiresAt": moment(session.expires_at),
        "current": me is not None and me.credential == f"{BROWSER}{session.id}",
    }


DIALECT = ApiModule(
    name="sessions",
    router=router,
    callback=no_callback,
    policies=(
        PathPolicy("/api/v1/session", None),
        PathPolicy("/api/v1/sessions", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE, owner_methods=READING),
        PathPolicy(
            "/api/v1/sessions/", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE, owner_methods=CHANGING, audited=True
        ),
    ),
    tags={"accounts": "Logins and API keys; for administrators accounts, users and the audit log."},
)
