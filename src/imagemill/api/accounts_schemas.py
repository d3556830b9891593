"""Bodies of the routes about accounts, keys, users and the audit log."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from imagemill.accounts.audit import AuditEntry
from imagemill.accounts.keys import MAX_LIFE_S
from imagemill.accounts.store import Owner, StoredKey, User
from imagemill.accounts.users import LoggedIn
from imagemill.api.jobs_schemas import moment
from imagemill.domain.access import Caller, Role, Scope
from imagemill.web.body_fields import Real
from imagemill.web.routing import WRITE_ONLY, RequestModel, ResponseModel


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


Name = Annotated[str, Field(max_length=200)]
Secret = Annotated[str, Field(min_length=1, max_length=1000, json_schema_extra=WRITE_ONLY)]
Email = Annotated[str, Field(min_length=3, max_length=254)]
_AT = "2026-01-31T12:00:00+00:00"
_EMAIL = "ann@example.org"
_PASSWORD = "correct horse battery staple"  # noqa: S105 - of the documentation
_KEY = {
    "id": "3f9ab2c81d04",
    "owner": "local",
    "name": "laptop",
    "scopes": ["jobs:read", "jobs:write"],
    "isService": False,
    "createdAt": _AT,
    "expiresAt": None,
    "revokedAt": None,
    "usedAt": None,
}
_OWNER = {
    "id": "shop",
    "role": "user",
    "name": "The shop",
    "parent": None,
    "weight": 1.0,
    "createdAt": _AT,
    "disabledAt": None,
}


class KeyBody(RequestModel):
    model_config = _example(name="laptop", scopes=["jobs:read", "jobs:write"])

    name: Name = Field("", description="A note on what the key is for.")
    scopes: list[str] | None = Field(None, max_length=50, description="Default: all that you have.")
    is_service: bool = Field(
        False, description="The key may act for end users, whom the header X-Imagemill-User names."
    )
    expires_in_days: Real | None = Field(
        None, gt=0, le=MAX_LIFE_S / 86_400, description="Default: the key does not expire."
    )


class OwnerBody(RequestModel):
    model_config = _example(id="shop", name="The shop")

    id: str = Field(max_length=24, description="1 to 24 of a-z, 0-9 and -.")
    name: Name = ""
    role: Role = Role.USER


class OwnerChange(RequestModel):
    model_config = _example(weight=2)

    name: Name | None = None
    role: Role | None = None
    weight: Real | None = Field(
        None, gt=0, le=1000, description="Share of the nodes' time, relative to 1 of others."
    )
    disabled: bool | None = Field(None, description="Its keys and sessions are refused.")


class UserBody(RequestModel):
    model_config = _example(email="bea@example.org", password=_PASSWORD)

    email: Email
    password: Secret
    role: Role = Role.USER
    owner: str | None = Field(None, max_length=24, description="Id of the account; default: a random one.")


class PasswordBody(RequestModel):
    model_config = _example(password=_PASSWORD)

    password: Secret


class SignUpBody(RequestModel):
    model_config = _example(email=_EMAIL, password=_PASSWORD)

    email: Email
    password: Secret


class LoginBody(RequestModel):
    model_config = _example(email=_EMAIL, password=_PASSWORD)

    email: str = Field(max_length=254)
    password: str = Field(max_length=1000, json_schema_extra=WRITE_ONLY)


class RefreshBody(RequestModel):
    model_config = _example(refreshToken="...")

    refresh_token: str = Field(max_length=200, json_schema_extra=WRITE_ONLY)


class ForgotBody(RequestModel):
    model_config = _example(email=_EMAIL)

    email: str = Field(max_length=254)


class ResetBody(RequestModel):
    model_config = _example(token="...", password=_PASSWORD)  # noqa: S106 - of the documentation

    token: str = Field(max_length=200, description="The token of the mail.", json_schema_extra=WRITE_ONLY)
    password: Secret


class ChangeBody(RequestModel):
    model_config = _example(currentPassword=_PASSWORD, newPassword="four other unrelated words")

    current_password: str = Field(max_length=1000, json_schema_extra=WRITE_ONLY)
    new_password: Secret


class KeyInfo(ResponseModel):
    model_config = _example(**_KEY)

    id: str
    owner: str
    name: str
    scopes: list[Scope]
    is_service: bool
    created_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None


class CreatedKeyInfo(KeyInfo):
    model_config = _example(**_KEY, key="im_3f9ab2c81d04_...")

    key: str = Field(description="Shown only now.")


class KeyList(ResponseModel):
    items: list[KeyInfo]


class OwnerInfo(ResponseModel):
    model_config = _example(**_OWNER)

    id: str
    role: Role
    name: str | None
    parent: str | None = Field(description="The account of an end user.")
    weight: float
    created_at: datetime | None
    disabled_at: datetime | None


class OwnerPage(ResponseModel):
    items: list[OwnerInfo]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class UserCreated(OwnerInfo):
    model_config = _example(**_OWNER, email="bea@example.org")

    email: str


class UserInfo(ResponseModel):
    model_config = _example(owner="shop", email=_EMAIL, role="user", createdAt=_AT, disabledAt=None)

    owner: str
    email: str
    role: Role
    created_at: datetime | None
    disabled_at: datetime | None


class UserPage(ResponseModel):
    items: list[UserInfo]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class SessionBody(ResponseModel):
    model_config = _example(
        accessToken="eyJhbGciOi...",
        tokenType="Bearer",
        expiresAt=_AT,
        refreshToken="...",
        owner="shop",
        role="user",
    )

    access_token: str
    token_type: Literal["Bearer"]
    expires_at: datetime | None
    refresh_token: str
    owner: str
    role: Role


class TicketInfo(ResponseModel):
    model_config = _example(ticket="p3wZ1Yx...", expiresAt=_AT)

    ticket: str = Field(description="Sent as `?ticket=` of the WebSocket's address; works once.")
    expires_at: datetime


class MailSent(ResponseModel):
    model_config = _example(message="If there is such a user, a mail is on its way.")

    message: str


class CallerInfo(ResponseModel):
    model_config = _example(
        owner="local", account="local", role="admin", scopes=["jobs:read"], credential=None, open=True
    )

    owner: str = Field(description="Account, or account:user.")
    account: str
    role: Role
    scopes: list[Scope]
    credential: str | None = Field(description="Id of the key or session.")
    open: bool = Field(description="No key is needed on this machine.")


class AuditInfo(ResponseModel):
    model_config = _example(
        id="01a2238c-4a37-7e4e-8fe9-c660c98ffd26",
        at=_AT,
        actor="local",
        credential="3f9ab2c81d04",
        action="POST /api/v1/owners",
        target="shop",
        detail="",
        address="127.0.0.1",
    )

    id: str
    at: datetime | None
    actor: str
    credential: str
    action: str
    target: str
    detail: str
    address: str


class AuditPage(ResponseModel):
    items: list[AuditInfo]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


def key_body(key: StoredKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "owner": key.owner,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "isService": key.is_service,
        "createdAt": moment(key.created_at),
        "expiresAt": moment(key.expires_at),
        "revokedAt": moment(key.revoked_at),
        "usedAt": moment(key.used_at),
    }


def owner_body(owner: Owner) -> dict[str, Any]:
    return {
        "id": owner.id,
        "role": owner.role.value,
        "name": owner.name,
        "parent": owner.parent,
        "weight": owner.weight,
        "createdAt": moment(owner.created_at),
        "disabledAt": moment(owner.disabled_at),
    }


def user_body(user: User, owner: Owner) -> dict[str, Any]:
    return {
        "owner": user.owner,
        "email": user.email,
        "role": owner.role.value,
        "createdAt": moment(user.created_at),
        "disabledAt": moment(owner.disabled_at),
    }


def session_body(session: LoggedIn) -> dict[str, Any]:
    return {
        "accessToken": session.token,
        "tokenType": "Bearer",
        "expiresAt": moment(session.expires_at),
        "refreshToken": session.refresh_token,
        "owner": session.owner.id,
        "role": session.owner.role.value,
    }


def caller_body(caller: Caller) -> Mapping[str, Any]:
    return {
        "owner": caller.owner,
        "account": caller.account,
        "role": caller.role.value,
        "scopes": sorted(caller.scopes),
        "credential": caller.credential or None,
        "open": caller.is_unauthenticated_local,
    }


def entry_body(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": moment(entry.at),
        "actor": entry.actor,
        "credential": entry.credential,
        "action": entry.action,
        "target": entry.target,
        "detail": entry.detail,
        "address": entry.address,
    }
