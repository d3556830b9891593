"""Bodies of the routes about access: what is read, and how it is answered."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from imagemill.accounts.audit import AuditEntry
from imagemill.accounts.keys import MAX_LIFE_S
from imagemill.accounts.store import Owner, StoredKey, User
from imagemill.accounts.users import LoggedIn
from imagemill.domain.access import Caller, Role
from imagemill.domain.clock import to_datetime
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.web.http import Real, json_body
from imagemill.web.problems import field_errors

_Model = TypeVar("_Model", bound=BaseModel)
Name = Annotated[str, Field(max_length=200)]
Secret = Annotated[str, Field(min_length=1, max_length=1000)]
Email = Annotated[str, Field(min_length=3, max_length=254)]


class AccountsModel(BaseModel):
    model_config = ConfigDict(
        extra="forbid", alias_generator=AliasGenerator(alias=to_camel), populate_by_name=True
    )


class KeyBody(AccountsModel):
    name: Name = Field("", description="What it is for.")
    scopes: list[str] | None = Field(None, max_length=50, description="Default: all that you have.")
    is_service: bool = Field(False, description="It may act for end users, named by X-Imagemill-User.")
    expires_in_days: Real | None = Field(
        None, gt=0, le=MAX_LIFE_S / 86_400, description="Default: it does not expire."
    )


class OwnerBody(AccountsModel):
    id: str = Field(max_length=24, description="1 to 24 of a-z, 0-9 and -.")
    name: Name = ""
    role: Role = Role.USER


class OwnerChange(AccountsModel):
    name: Name | None = None
    role: Role | None = None
    weight: Real | None = Field(
        None, gt=0, le=1000, description="Share of the nodes' time, against 1 of others."
    )
    disabled: bool | None = Field(None, description="Its keys and sessions are refused.")


class UserBody(AccountsModel):
    email: Email
    password: Secret
    role: Role = Role.USER
    owner: str | None = Field(None, max_length=24, description="Default: drawn.")


class PasswordBody(AccountsModel):
    password: Secret


class SignUpBody(AccountsModel):
    email: Email
    password: Secret


class LoginBody(AccountsModel):
    email: str = Field(max_length=254)
    password: str = Field(max_length=1000)


class RefreshBody(AccountsModel):
    refresh_token: str = Field(max_length=200)


class ForgotBody(AccountsModel):
    email: str = Field(max_length=254)


class ResetBody(AccountsModel):
    token: str = Field(max_length=200)
    password: Secret


class ChangeBody(AccountsModel):
    current_password: str = Field(max_length=1000)
    new_password: Secret


_SECRETS = ("password", "token", "refreshToken", "currentPassword", "newPassword")


async def read(request: Request, model: type[_Model]) -> _Model:
    """Raises `InvalidInput`, in which no secret is repeated."""
    try:
        return model.model_validate(await json_body(request))
    except ValidationError as error:
        raise InvalidInput([_discreet(each) for each in field_errors(error, model)]) from None


def _discreet(error: FieldError) -> FieldError:
    is_secret = error.path in _SECRETS or not error.path
    return FieldError(error.path, error.message.partition("; it is ")[0]) if is_secret else error


def moment(instant_us: int | None) -> str | None:
    return None if instant_us is None else to_datetime(instant_us).isoformat()


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
