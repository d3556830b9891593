"""``/api/v1/auth``: sign-up, login, sessions and passwords, for applications whose users log in here."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from imagemill.dialects import openapi
from imagemill.dialects.accounts.bodies import (
    ChangeBody,
    ForgotBody,
    LoginBody,
    RefreshBody,
    ResetBody,
    SignUpBody,
    caller_body,
    read,
    session_body,
)
from imagemill.dialects.answers import answer
from imagemill.domain.errors import InvalidInput
from imagemill.service.users import Users
from imagemill.web.gate import caller
from imagemill.web.proxies import client_address

_MAIL_SENT = "If there is such a user, a mail is on its way."


class Logins:
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
        return answer(session_body(session), status)

    async def refresh(self, request: Request) -> Response:
        body = await read(request, RefreshBody)
        return answer(session_body(await asyncio.to_thread(self._users.refresh, body.refresh_token)))

    async def logout(self, request: Request) -> Response:
        await asyncio.to_thread(self._users.log_out, caller(request))
        return Response(status_code=204)

    async def forgot(self, request: Request) -> Response:
        body = await read(request, ForgotBody)
        await asyncio.to_thread(self._users.forgot, body.email, client_address(request.scope))
        return answer({"message": _MAIL_SENT}, 202)

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
        return answer(caller_body(caller(request)))


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
