"""A log line for each request: method, route, status, duration, trace and account.

The path of a request without a route is logged as the client sent it, without its query, which may hold a
signature. An end user is logged by a digest, since its name may be an address of e-mail.
"""

import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagemill.domain.access import Caller
from imagemill.domain.blob_keys import owner_hash
from imagemill.web.middleware import STATUS
from imagemill.web.policies import PathPolicies
from imagemill.web.problems import CLIENT_CLOSED

log = logging.getLogger("imagemill.access")

_LONGEST_PATH = 200
_SWITCHED = 101
"""The status of a WebSocket that was opened."""


class AccessLog:
    """Logs requests when they end, streams and WebSockets included, at the level info; failures of ours (5xx)
    as warnings.

    Probes, which come every few seconds, are logged only when they fail.
    """

    def __init__(self, app: ASGIApp, policies: PathPolicies) -> None:
        self._app = app
        self._policies = policies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or not log.isEnabledFor(logging.WARNING):
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        path = scope["path"]  # a host of its own may change it
        failed = False
        try:
            await self._app(scope, receive, send if scope["type"] == "http" else _noting(scope, send))
        except Exception:
            failed = True
            raise
        finally:
            status = scope.get(STATUS, 500 if failed else CLIENT_CLOSED)
            self._log(scope, path, status, time.perf_counter() - start)

    def _log(self, scope: Scope, path: str, status: int, seconds: float) -> None:
        level = logging.WARNING if status >= 500 else logging.INFO
        is_probe = status < 400 and not self._policies.of(scope["path"]).traced
        if is_probe or not log.isEnabledFor(level):
            return
        route = getattr(scope.get("route"), "path", None) or path[:_LONGEST_PATH]
        facts: dict[str, Any] = {"ms": round(seconds * 1000, 1), "trace": scope.get("imagemill.trace", "")}
        caller = scope.get("imagemill.caller")
        if isinstance(caller, Caller):
            facts["account"] = caller.account
            if caller.owner != caller.account:
                facts["user"] = owner_hash(caller.owner)
        log.log(level, "%s %s %d", scope.get("method", "WEBSOCKET"), route, status, extra=facts)


def _noting(scope: Scope, send: Send) -> Send:
    """Return a ``send`` of a WebSocket that notes its status, as `EdgeMiddleware` does for other requests."""

    async def sending(message: Message) -> None:
        if message["type"] == "websocket.http.response.start":
            scope[STATUS] = message["status"]
        elif message["type"] == "websocket.accept":
            scope[STATUS] = _SWITCHED
        await send(message)

    return sending
