"""``/api/v1/keys`` of one's own, and for administrators ``owners``, ``users`` and ``audit``."""

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from imagemill.accounts.keys import CreatedKey, KeyRequest, Keys, Owners, scopes_of
from imagemill.accounts.passwords import check_password
from imagemill.accounts.store import ChangeOwner
from imagemill.accounts.users import Users, check_email
from imagemill.api.accounts_schemas import (
    ChangeBody,
    ForgotBody,
    KeyBody,
    LoginBody,
    OwnerBody,
    OwnerChange,
    PasswordBody,
    RefreshBody,
    ResetBody,
    SignUpBody,
    UserBody,
    caller_body,
    entry_body,
    key_body,
    owner_body,
    read,
    session_body,
    user_body,
)
from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.domain.access import Caller, Scope, check_account
from imagemill.domain.clock import now_us
from imagemill.domain.errors import Forbidden, InvalidInput
from imagemill.web import openapi
from imagemill.web.auth import audit_target, caller
from imagemill.web.http import cursor, json_response, number
from imagemill.web.middleware import client_address
from imagemill.web.policies import PathPolicy

_MOST = 500
_LIMIT = (openapi.whole(1, _MOST, 50), "How many")
_CURSOR = (openapi.TEXT, "`next` of the last answer")


class AdminRoutes:
    def __init__(self, services: Services) -> None:
        accounts, forget = services.accounts, services.access.forget
        self._services = services
        self._keys = Keys(accounts, forget)
        self._owners = Owners(accounts, forget)

    def router(self) -> APIRouter:
        routes = APIRouter(prefix="/api/v1", tags=["access"])
        owner, keys = "/owners/{owner}", "/owners/{owner}/keys"
        parent = openapi.query(
            limit=_LIMIT, cursor=_CURSOR, parent=(openapi.TEXT, "The end users of this account")
        )
        page = openapi.query(limit=_LIMIT, cursor=_CURSOR)
        log = openapi.query(limit=_LIMIT, cursor=_CURSOR, actor=(openapi.TEXT, "Only what this account did"))
        new_key, change = openapi.body(KeyBody), openapi.body(OwnerChange)
        for method, path, handler, summary, status, extra in (
            ("GET", "/keys", self.keys, "Your own keys", 200, None),
            ("POST", "/keys", self.make_key, "Make a key; it is shown once", 201, new_key),
            ("DELETE", "/keys/{key}", self.revoke_key, "Revoke a key of yours", 204, None),
            ("GET", "/owners", self.owners, "Accounts, or the end users of one", 200, parent),
            ("POST", "/owners", self.add_owner, "Make an account", 201, openapi.body(OwnerBody)),
            ("GET", owner, self.owner, "One account or end user", 200, None),
            ("PATCH", owner, self.change_owner, "Change role, weight, name; disable", 200, change),
            ("GET", keys, self.owners_keys, "The keys of an account", 200, None),
            ("POST", keys, self.make_owners_key, "Make a key for an account", 201, new_key),
            ("DELETE", f"{keys}/{{key}}", self.revoke_owners_key, "Revoke a key of an account", 204, None),
            ("GET", "/users", self.users, "Who can log in", 200, page),
            ("POST", "/users", self.add_user, "Make a user", 201, openapi.body(UserBody)),
            ("PUT", "/users/{owner}/password", self.set_password, "Set a user's password", 204,
             openapi.body(PasswordBody)),
            ("GET", "/audit", self.audit, "Who changed what, newest first", 200, log),
        ):  # fmt: skip
            routes.add_api_route(
                path,
                handler,
                methods=[method],
                summary=summary,
                status_code=status,
                response_class=Response,
                openapi_extra=extra,
            )
        return routes

    # Keys

    async def keys(self, request: Request) -> Response:
        found = await asyncio.to_thread(self._keys.of, _own(request).owner)
        return json_response({"items": [key_body(key) for key in found]})

    async def make_key(self, request: Request) -> Response:
        found = _own(request)
        return await self._make(request, found.owner, found)

    async def revoke_key(self, request: Request, key: str) -> Response:
        await asyncio.to_thread(self._keys.revoke, key, _own(request).owner)
        return Response(status_code=204)

    async def owners_keys(self, request: Request, owner: str) -> Response:
        await asyncio.to_thread(self._owners.get, owner)
        found = await asyncio.to_thread(self._keys.of, owner)
        return json_response({"items": [key_body(key) for key in found]})

    async def make_owners_key(self, request: Request, owner: str) -> Response:
        return await self._make(request, owner, caller(request))

    async def revoke_owners_key(self, request: Request, owner: str, key: str) -> Response:
        await asyncio.to_thread(self._keys.revoke, key, owner)
        return Response(status_code=204)

    async def _make(self, request: Request, owner: str, maker: Caller) -> Response:
        body = await read(request, KeyBody)
        key_request = KeyRequest(
            body.name,
            scopes_of("scopes", body.scopes) if body.scopes is not None else None,
            body.is_service,
            body.expires_in_days * 86_400 if body.expires_in_days is not None else None,
        )
        made: CreatedKey = await asyncio.to_thread(self._keys.make, key_request, owner, maker)
        audit_target(request, f"{owner}/{made.key.id}")
        return json_response({**key_body(made.key), "key": made.text}, 201)

    # Owners

    async def owners(self, request: Request) -> Response:
        limit = number(request, "limit", 50, 1, _MOST)
        query = request.query_params
        parent, after = query.get("parent") or None, query.get("cursor", "")
        found = await asyncio.to_thread(self._owners.page, parent, after, limit + 1)
        return _page([owner_body(owner) for owner in found], limit, "id")

    async def add_owner(self, request: Request) -> Response:
        body = await read(request, OwnerBody)
        made = await asyncio.to_thread(self._owners.add, body.id, body.role, body.name)
        audit_target(request, made.id)
        return json_response(owner_body(made), 201)

    async def owner(self, request: Request, owner: str) -> Response:
        return json_response(owner_body(await asyncio.to_thread(self._owners.get, owner)))

    async def change_owner(self, request: Request, owner: str) -> Response:
        body = await read(request, OwnerChange)
        change = ChangeOwner(owner, now_us(), body.role, body.name, body.weight, body.disabled)
        changed = await asyncio.to_thread(self._owners.change, change, caller(request))
        return json_response(owner_body(changed))

    # Users

    async def users(self, request: Request) -> Response:
        limit = number(request, "limit", 50, 1, _MOST)
        after = request.query_params.get("cursor", "")
        found = await asyncio.to_thread(self._services.users.page, after, limit + 1)
        return _page([user_body(user, owner) for user, owner in found], limit, "owner")

    async def add_user(self, request: Request) -> Response:
        body = await read(request, UserBody)
        email = check_email("email", body.email)
        check_password("password", body.password, email)
        name = check_account("owner", body.owner) if body.owner is not None else None
        users = self._services.users
        hash_ = await asyncio.wrap_future(users.passwords.hash(body.password))
        made = await asyncio.to_thread(users.add, email, hash_, body.role, name)
        audit_target(request, made.id)
        return json_response({**owner_body(made), "email": email}, 201)

    async def set_password(self, request: Request, owner: str) -> Response:
        body = await read(request, PasswordBody)
        check_password("password", body.password, "")
        users = self._services.users
        hash_ = await asyncio.wrap_future(users.passwords.hash(body.password))
        await asyncio.to_thread(users.set_password, owner, hash_)
        return Response(status_code=204)

    # Audit

    async def audit(self, request: Request) -> Response:
        limit = number(request, "limit", 50, 1, _MOST)
        before = cursor(request.query_params.get("cursor"), "cursor", "next")
        actor = request.query_params.get("actor") or None
        found = await asyncio.to_thread(self._services.audit.page, before, limit + 1, actor)
        return _page([entry_body(entry) for entry in found], limit, "id")


def _own(request: Request) -> Caller:
    """Raises `Forbidden` for an end user: what acts for it is the account's to keep."""
    found = caller(request)
    if found.owner != found.account:
        raise Forbidden("keys are the account's, not its end users'; leave X-Imagemill-User out")
    return found


def _page(items: Sequence[dict[str, Any]], limit: int, by: str) -> Response:
    return json_response(
        {"items": items[:limit], "next": items[limit - 1][by] if len(items) > limit else None}
    )


_MAIL_SENT = "If there is such a user, a mail is on its way."


class AuthRoutes:
    def __init__(self, users: Users) -> None:
        self._users = users

    def router(self) -> APIRouter:
        routes = APIRouter(prefix="/api/v1/auth", tags=["access"])
        for path, handler, summary, status, model in (
            ("/sign-up", self.sign_up, "Make an account of one's own, and log in", 201, SignUpBody),
            ("/login", self.login, "Log in", 200, LoginBody),
            (
                "/refresh",
                self.refresh,
                "A new access token; the refresh token changes, too",
                200,
                RefreshBody,
            ),
            ("/forgot-password", self.forgot, "Have a mail sent to choose a new password", 202, ForgotBody),
            ("/reset-password", self.reset, "Choose a new password by that mail", 204, ResetBody),
            ("/change-password", self.change, "Change the password; ends other sessions", 204, ChangeBody),
        ):
            _add(routes, "POST", path, handler, summary, status, openapi.body(model))
        _add(routes, "POST", "/logout", self.logout, "End the session", 204, None)
        _add(routes, "GET", "/me", self.me, "Who calls, and what it may do", 200, None)
        return routes

    async def sign_up(self, request: Request) -> Response:
        body = await read(request, SignUpBody)
        address = client_address(request.scope)
        email = await asyncio.to_thread(self._users.check_sign_up, body.email, body.password, address)
        hash_ = await asyncio.wrap_future(self._users.passwords.hash(body.password))
        await asyncio.to_thread(self._users.add, email, hash_)
        return await self._login(email, body.password, address, 201)

    async def login(self, request: Request) -> Response:
        body = await read(request, LoginBody)
        return await self._login(body.email, body.password, client_address(request.scope), 200)

    async def _login(self, email: str, password: str, address: str, status: int) -> Response:
        checking, user = await asyncio.to_thread(self._users.begin_login, email, password, address)
        fits = await asyncio.wrap_future(checking)
        session = await asyncio.to_thread(self._users.log_in, user, fits, address)
        return json_response(session_body(session), status)

    async def refresh(self, request: Request) -> Response:
        body = await read(request, RefreshBody)
        return json_response(session_body(await asyncio.to_thread(self._users.refresh, body.refresh_token)))

    async def logout(self, request: Request) -> Response:
        await asyncio.to_thread(self._users.log_out, caller(request))
        return Response(status_code=204)

    async def forgot(self, request: Request) -> Response:
        body = await read(request, ForgotBody)
        await asyncio.to_thread(self._users.forgot, body.email, client_address(request.scope))
        return json_response({"message": _MAIL_SENT}, 202)

    async def reset(self, request: Request) -> Response:
        body = await read(request, ResetBody)
        address = client_address(request.scope)
        await asyncio.to_thread(self._users.check_reset, body.token, body.password, address)
        hash_ = await asyncio.wrap_future(self._users.passwords.hash(body.password))
        await asyncio.to_thread(self._users.reset, body.token, hash_)
        return Response(status_code=204)

    async def change(self, request: Request) -> Response:
        body = await read(request, ChangeBody)
        found = caller(request)
        checking, user = await asyncio.to_thread(
            self._users.check_change, found, body.current_password, body.new_password
        )
        if not await asyncio.wrap_future(checking):
            raise InvalidInput.at("currentPassword", "is wrong")
        hash_ = await asyncio.wrap_future(self._users.passwords.hash(body.new_password))
        await asyncio.to_thread(self._users.change_password, found, user, hash_)
        return Response(status_code=204)

    async def me(self, request: Request) -> Response:
        return json_response(caller_body(caller(request)))


def _add(
    routes: APIRouter, method: str, path: str, handler: Any, summary: str, status: int, extra: Any
) -> None:
    routes.add_api_route(
        path,
        handler,
        methods=[method],
        summary=summary,
        status_code=status,
        response_class=Response,
        openapi_extra=extra,
    )


_AUTH = "/api/v1/auth"


def _router(services: Services, _: object) -> APIRouter:
    routes = APIRouter()
    routes.include_router(AdminRoutes(services).router())
    routes.include_router(AuthRoutes(services.users).router())
    return routes


DIALECT = ApiModule(
    name="accounts",
    router=_router,
    callback=no_callback,
    policies=(
        PathPolicy("/api/v1/keys", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE, audited=True),
        PathPolicy("/api/v1/keys/", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE, audited=True),
        PathPolicy("/api/v1/owners", Scope.ADMIN, Scope.ADMIN),
        PathPolicy("/api/v1/owners/", Scope.ADMIN, Scope.ADMIN),
        PathPolicy("/api/v1/users", Scope.ADMIN, Scope.ADMIN),
        PathPolicy("/api/v1/users/", Scope.ADMIN, Scope.ADMIN),
        PathPolicy("/api/v1/audit", Scope.ADMIN, Scope.ADMIN),
        *(
            PathPolicy(f"{_AUTH}/{name}", None)
            for name in ("sign-up", "login", "refresh", "forgot-password", "reset-password")
        ),
        PathPolicy(f"{_AUTH}/change-password", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE, audited=True),
        PathPolicy(f"{_AUTH}/logout", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE),
        PathPolicy(f"{_AUTH}/me", Scope.ACCOUNT_READ),
    ),
)
