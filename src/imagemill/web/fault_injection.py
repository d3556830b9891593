"""Strikes requests with the faults that clients ask for while the simulator is on."""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, cast

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagemill.backends.simulator.http_faults import (
    CONTROL,
    LONGEST_HEADER,
    HttpFault,
    HttpFaults,
    error_text,
    find_hint,
)
from imagemill.web.policies import ERROR_SHAPE, POLICY, PathPolicy
from imagemill.web.problems import problem

HEADER = b"x-imagemill-fault"
OFF = "works only while the simulator makes the pictures (IMAGEMILL_SIMULATOR__ENABLED)"
_TRANSPORT = "imagemill.transport"
_EXPIRY = re.compile(rb"(^|&)exp=[0-9]+")
_HINT = b'"simulate"'
_CODES = {
    401: "unauthenticated",
    402: "credits_insufficient",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    429: "rate_limited",
    500: "bug",
    503: "busy",
}
"""The codes that a real error of the status has."""


def with_transport(app: ASGIApp) -> ASGIApp:
    """Let inner layers close the connection of a request; for the outermost layer, which uvicorn calls."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # Both are methods of uvicorn's object for the request; an extension of ASGI does not exist.
            scope[_TRANSPORT] = getattr(getattr(receive, "__self__", None), "transport", None)
        await app(scope, receive, send)

    return call


class FaultMiddleware:
    """Answers or breaks requests by a header, a property of a job in the body, or a rule of `HttpFaults`.

    ``is_on``: whether the simulator makes the pictures; only then there are faults.
    """

    def __init__(self, app: ASGIApp, faults: HttpFaults, is_on: Callable[[], bool]) -> None:
        self._app = app
        self._faults = faults
        self._is_on = is_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(CONTROL):
            await self._app(scope, receive, send)
            return
        header = next((value for name, value in scope["headers"] if name == HEADER), None)
        fault: HttpFault | None = None
        if header is not None:
            try:
                fault = self._of_header(header)
            except ValueError as error:
                await _answer(scope, receive, send, 400, f"the header X-Imagemill-Fault {error}")
                return
        if fault is None and scope["method"] == "POST" and self._is_on():
            receive, body = await _peek(receive)
            fault = self._of_body(body)
        if fault is None and self._faults.has_rules and self._is_on():
            fault = self._faults.strike(scope["method"], scope["path"])
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await self._apply(fault, scope, receive, send)

    def _of_header(self, header: bytes) -> HttpFault | None:
        """Return the fault in a header. Raises `ValueError` with the end of a sentence."""
        if not self._is_on():
            raise ValueError(OFF)
        text = header.decode("latin-1")[:LONGEST_HEADER].strip()
        try:
            value: Any = json.loads(text)
            fault = HttpFault.model_validate({"http": value} if isinstance(value, int) else value)
        except ValidationError as error:
            raise ValueError(f"is wrong: {error_text(error)}") from None
        except (ValueError, RecursionError):
            raise ValueError(
                'should be a status, such as 429, or an object, such as {"slowMs": 500}'
            ) from None
        return self._faults.use(fault, text)

    def _of_body(self, body: bytes) -> HttpFault | None:
        if _HINT not in body:
            return None
        try:
            fault = find_hint(json.loads(body))
        except (ValueError, RecursionError):
            return None  # refused as a body
        return None if fault is None else self._faults.use(fault, hashlib.sha256(body).digest())

    async def _apply(self, fault: HttpFault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.slow_ms is not None:
            await asyncio.sleep(fault.slow_ms / 1000)
        if fault.http is not None:
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            await _answer(scope, receive, send, fault.http, "a simulated fault, as it was asked for", headers)
        elif fault.drop is not None:
            if fault.drop == "after":
                await self._app(scope, receive, _discard)
            await _close(scope, at_once=True)
        elif fault.cut:
            await self._app(scope, receive, _Cut(scope, send).send)
        else:
            if fault.expired_blob:
                scope = {**scope, "query_string": _EXPIRY.sub(rb"\1exp=1", scope["query_string"])}
            await self._app(scope, receive, send)


class _Cut:
    """Sends half of the first part of a body, then closes the connection."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._cut = False

    async def send(self, message: Message) -> None:
        if self._cut:
            return
        body = message.get("body", b"")
        if message["type"] != "http.response.body" or not body:
            await self._send(message)
            return
        self._cut = True
        await self._send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        await _close(self._scope, at_once=False)


async def _discard(message: Message) -> None:
    del message


async def _close(scope: Scope, *, at_once: bool) -> None:
    """Close the connection; with ``at_once`` without what is not sent yet."""
    transport = cast("asyncio.Transport | None", scope.get(_TRANSPORT))
    if transport is None:
        raise RuntimeError("a simulated fault: the connection ends here")
    if at_once:
        transport.abort()
    else:
        transport.close()
    # Until the server has noticed, so that it does not report an incomplete answer.
    for _ in range(3):
        await asyncio.sleep(0)


async def _answer(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    detail: str,
    headers: dict[str, str] | None = None,
) -> None:
    """Answer with an error in the shape that clients of the path expect."""
    policy: PathPolicy = scope[POLICY]
    if policy.errors is not None:
        scope[ERROR_SHAPE] = policy.errors
    await problem(HTTPConnection(scope), status, detail, code=_CODES.get(status), headers=headers)(
        scope, receive, send
    )


async def _peek(receive: Receive) -> tuple[Receive, bytes]:
    """Read a body; return it with a ``receive`` that gives it again."""
    messages: list[Message] = []
    failure: HTTPException | None = None
    try:
        while not messages or messages[-1].get("more_body", False):
            messages.append(await receive())
    except HTTPException as error:
        failure = error  # too large or too slow: for the handler, which answers it
    body = b"".join(message.get("body", b"") for message in messages)
    waiting = iter(messages)

    async def again() -> Message:
        message = next(waiting, None)
        if message is None and failure is not None:
            raise failure
        return await receive() if message is None else message

    return again, body
