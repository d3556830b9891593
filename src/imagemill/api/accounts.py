"""``/api/v1/auth`` and ``/api/v1/keys``; for administrators ``owners``, ``users`` and ``audit``."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from imagemill.accounts.keys import KeyRequest, Keys, Owners, scopes_of
from imagemill.accounts.passwords import check_password
from imagemill.accounts.store import ChangeOwner
from imagemill.accounts.users import check_email
from imagemill.api.accounts_schemas import (
    AuditPage,
    CallerInfo,
    ChangeBody,
    CreatedKeyInfo,
    ForgotBody,
    KeyBody,
    KeyList,
    LoginBody,
    MailSent,
    OwnerBody,
    OwnerChange,
    OwnerInfo,
    OwnerPage,
    PasswordBody,
    RefreshBody,
    ResetBody,
    SessionBody,
    SignUpBody,
    TicketInfo,
    UserBody,
    UserCreated,
    UserPage,
    caller_body,
    entry_body,
    key_body,
    owner_body,
    session_body,
    user_body,
)
from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import context
from imagemill.api.jobs_schemas import moment
from imagemill.domain.access import Caller, Scope, check_account
from imagemill.domain.clock import now_us
from imagemill.domain.errors import Forbidden, InvalidInput
from imagemill.net import pools
from imagemill.web.auth import audit_target, caller
from imagemill.web.http import cursor, json_response
from imagemill.web.middleware import client_address
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import ApiRoute, Cursor


class Accounts:
    """The dependencies of the handlers."""

    def __init__(self, services: Services, _: object) -> None:
        accounts, forget = services.accounts, services.access.forget
        self.keys = Keys(accounts, forget)
        self.owners = Owners(accounts, forget)
        self.users = services.users
        self.audit = services.audit
        self.tickets = services.tickets

    async def make_key(self, request: Request, body: KeyBody, owner: str) -> Response:
        scopes = scopes_of("scopes", body.scopes) if body.scopes is not None else None
        life_s = body.expires_in_days * 86_400 if body.expires_in_days is not None else None
        key_request = KeyRequest(body.name, scopes, body.is_service, life_s)
        made = await pools.write(self.keys.make, key_request, owner, caller(request))
        audit_target(request, f"{owner}/{made.key.id}")
        return json_response({**key_body(made.key), "key": made.text}, 201)

    async def log_in(self, email: str, password: str, address: str, status: int) -> Response:
        checking, user = await pools.write(self.users.begin_login, email, password, address)
        fits = await asyncio.wrap_future(checking)
        session = await pools.write(self.users.log_in, user, fits, address)
        return json_response(session_body(session), status)


AccountsDep = Annotated[Accounts, context("accounts")]
Limit = Annotated[int, Query(ge=1, le=500, description="Most entries of a page.")]
OwnerId = Annotated[str, Path(description="`id` of the account, or account:user.")]
KeyId = Annotated[str, Path(description="`id` of the key.")]
router = APIRouter(prefix="/api/v1", tags=["accounts"], route_class=ApiRoute)


@router.post(
    "/auth/sign-up", summary="Create an account and log in", status_code=201, response_model=SessionBody
)
async def sign_up(request: Request, accounts: AccountsDep, body: SignUpBody) -> Response:
    users, address = accounts.users, client_address(request.scope)
    email = await pools.write(users.check_sign_up, body.email, body.password, address)
    hash_ = await asyncio.wrap_future(users.passwords.hash(body.password))
    await pools.write(users.add, email, hash_)
    return await accounts.log_in(email, body.password, address, 201)


@router.post("/auth/login", summary="Log in", response_model=SessionBody)
async def log_in(request: Request, accounts: AccountsDep, body: LoginBody) -> Response:
    return await accounts.log_in(body.email, body.password, client_address(request.scope), 200)


@router.post("/auth/refresh", summary="Get new tokens for the refresh token", response_model=SessionBody)
async def refresh_session(accounts: AccountsDep, body: RefreshBody) -> Response:
    return json_response(session_body(await pools.write(accounts.users.refresh, body.refresh_token)))


@router.post("/auth/logout", summary="End the session", status_code=204)
async def log_out(request: Request, accounts: AccountsDep) -> Response:
    await pools.write(accounts.users.log_out, caller(request))
    return Response(status_code=204)


@router.post(
    "/auth/tickets",
    summary="Get a ticket with which a browser opens one WebSocket",
    status_code=201,
    response_model=TicketInfo,
)
async def issue_ticket(request: Request, accounts: AccountsDep) -> Response:
    made = await pools.write(accounts.tickets.issue, caller(request))
    return json_response({"ticket": made.text, "expiresAt": moment(made.expires_at)}, 201)


@router.post(
    "/auth/forgot-password",
    summary="Send a mail by which a new password can be set",
    status_code=202,
    response_model=MailSent,
)
async def forgot_password(request: Request, accounts: AccountsDep, body: ForgotBody) -> Response:
    await pools.write(accounts.users.forgot, body.email, client_address(request.scope))
    return json_response({"message": "If there is such a user, a mail is on its way."}, 202)


@router.post("/auth/reset-password", summary="Set a new password with the mail's token", status_code=204)
async def reset_password(request: Request, accounts: AccountsDep, body: ResetBody) -> Response:
    users, address = accounts.users, client_address(request.scope)
    await pools.write(users.check_reset, body.token, body.password, address)
    hash_ = await asyncio.wrap_future(users.passwords.hash(body.password))
    await pools.write(users.reset, body.token, hash_)
    return Response(status_code=204)


@router.post(
    "/auth/change-password", summary="Change your password, which ends other sessions", status_code=204
)
async def change_password(request: Request, accounts: AccountsDep, body: ChangeBody) -> Response:
    users, found = accounts.users, caller(request)
    checking, user = await pools.write(users.check_change, found, body.current_password, body.new_password)
    if not await asyncio.wrap_future(checking):
        raise InvalidInput.at("currentPassword", "is wrong")
    hash_ = await asyncio.wrap_future(users.passwords.hash(body.new_password))
    await pools.write(users.change_password, found, user, hash_)
    return Response(status_code=204)


@router.get("/auth/me", summary="Read who you are and what you may do", response_model=CallerInfo)
async def get_me(request: Request) -> Response:
    return json_response(caller_body(caller(request)))


@router.get("/keys", summary="List your own keys", response_model=KeyList)
async def list_keys(request: Request, accounts: AccountsDep) -> Response:
    found = await pools.read(accounts.keys.of, _own(request).owner)
    return json_response({"items": [key_body(key) for key in found]})


@router.post(
    "/keys", summary="Create a key, which is shown once", status_code=201, response_model=CreatedKeyInfo
)
async def create_key(request: Request, accounts: AccountsDep, body: KeyBody) -> Response:
    return await accounts.make_key(request, body, _own(request).owner)


@router.delete("/keys/{key}", summary="Revoke a key of yours", status_code=204)
async def revoke_key(request: Request, accounts: AccountsDep, key: KeyId) -> Response:
    await pools.write(accounts.keys.revoke, key, _own(request).owner)
    return Response(status_code=204)


@router.get("/owners", summary="List accounts, or the end users of one", response_model=OwnerPage)
async def list_owners(
    accounts: AccountsDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    parent: Annotated[str | None, Query(description="List the end users of this account.")] = None,
) -> Response:
    found = await pools.read(accounts.owners.page, parent, cursor or "", limit + 1)
    return _page([owner_body(owner) for owner in found], limit, "id")


@router.post("/owners", summary="Create an account", status_code=201, response_model=OwnerInfo)
async def add_owner(request: Request, accounts: AccountsDep, body: OwnerBody) -> Response:
    made = await pools.write(accounts.owners.add, body.id, body.role, body.name)
    audit_target(request, made.id)
    return json_response(owner_body(made), 201)


@router.get("/owners/{owner}", summary="Read an account or end user", response_model=OwnerInfo)
async def get_owner(accounts: AccountsDep, owner: OwnerId) -> Response:
    return json_response(owner_body(await pools.read(accounts.owners.get, owner)))


@router.patch("/owners/{owner}", summary="Change or disable an account", response_model=OwnerInfo)
async def change_owner(
    request: Request, accounts: AccountsDep, owner: OwnerId, body: OwnerChange
) -> Response:
    change = ChangeOwner(owner, now_us(), body.role, body.name, body.weight, body.disabled)
    changed = await pools.write(accounts.owners.change, change, caller(request))
    return json_response(owner_body(changed))


@router.get("/owners/{owner}/keys", summary="List the keys of an account", response_model=KeyList)
async def list_owner_keys(accounts: AccountsDep, owner: OwnerId) -> Response:
    await pools.read(accounts.owners.get, owner)
    found = await pools.read(accounts.keys.of, owner)
    return json_response({"items": [key_body(key) for key in found]})


@router.post(
    "/owners/{owner}/keys",
    summary="Create a key for an account",
    status_code=201,
    response_model=CreatedKeyInfo,
)
async def create_owner_key(
    request: Request, accounts: AccountsDep, owner: OwnerId, body: KeyBody
) -> Response:
    return await accounts.make_key(request, body, owner)


@router.delete("/owners/{owner}/keys/{key}", summary="Revoke a key of an account", status_code=204)
async def revoke_owner_key(accounts: AccountsDep, owner: OwnerId, key: KeyId) -> Response:
    await pools.write(accounts.keys.revoke, key, owner)
    return Response(status_code=204)


@router.get("/users", summary="List who can log in", response_model=UserPage)
async def list_users(accounts: AccountsDep, limit: Limit = 50, cursor: Cursor = None) -> Response:
    found = await pools.read(accounts.users.page, cursor or "", limit + 1)
    return _page([user_body(user, owner) for user, owner in found], limit, "owner")


@router.post("/users", summary="Create a user", status_code=201, response_model=UserCreated)
async def add_user(request: Request, accounts: AccountsDep, body: UserBody) -> Response:
    email = check_email("email", body.email)
    check_password("password", body.password, email)
    name = check_account("owner", body.owner) if body.owner is not None else None
    users = accounts.users
    hash_ = await asyncio.wrap_future(users.passwords.hash(body.password))
    made = await pools.write(users.add, email, hash_, body.role, name)
    audit_target(request, made.id)
    return json_response({**owner_body(made), "email": email}, 201)


@router.put("/users/{owner}/password", summary="Set a user's password", status_code=204)
async def set_password(accounts: AccountsDep, owner: OwnerId, body: PasswordBody) -> Response:
    check_password("password", body.password, "")
    hash_ = await asyncio.wrap_future(accounts.users.passwords.hash(body.password))
    await pools.write(accounts.users.set_password, owner, hash_)
    return Response(status_code=204)


@router.get("/audit", summary="List who changed what, newest first", response_model=AuditPage)
async def list_audit(
    accounts: AccountsDep,
    limit: Limit = 50,
    cursor_: Annotated[Cursor, Query(alias="cursor")] = None,
    actor: Annotated[str | None, Query(description="Only changes by this account.")] = None,
) -> Response:
    before = cursor(cursor_, "cursor", "next")
    found = await pools.read(accounts.audit.page, before, limit + 1, actor)
    return _page([entry_body(entry) for entry in found], limit, "id")


def _own(request: Request) -> Caller:
    """Return the caller. Raises `Forbidden` for an end user, whose keys its account manages."""
    found = caller(request)
    if found.owner != found.account:
        raise Forbidden("keys are the account's, not its end users'; leave X-Imagemill-User out")
    return found


def _page(items: Sequence[dict[str, Any]], limit: int, by: str) -> Response:
    return json_response(
        {"items": items[:limit], "next": items[limit - 1][by] if len(items) > limit else None}
    )


_AUTH = "/api/v1/auth"
DIALECT = ApiModule(
    name="accounts",
    router=router,
    context=Accounts,
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
        PathPolicy(f"{_AUTH}/tickets", Scope.JOBS_READ, Scope.JOBS_READ),
    ),
    tags={"accounts": "Logins and API keys; for administrators accounts, users and the audit log."},
)
