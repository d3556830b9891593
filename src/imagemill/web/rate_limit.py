"""The limit of requests in a minute, and the RateLimit headers of answers.

The headers are those of draft-ietf-httpapi-ratelimit-headers: ``RateLimit-Policy: "requests";q=60;w=60`` and
``RateLimit: "requests";r=12;t=34``.
"""

import math

from starlette.types import Message, Scope, Send

from imagemill.domain.access import Caller
from imagemill.domain.quotas import QuotaStatus
from imagemill.net import pools
from imagemill.quotas.service import RequestLimiter


async def counted(throttle: RequestLimiter | None, scope: Scope, send: Send) -> Send:
    """Count a request; return a ``send`` that adds the headers. Raises `RateLimited`."""
    caller = scope.get("imagemill.caller")
    if throttle is None or not isinstance(caller, Caller) or throttle.is_free(caller):
        return send
    standing = await pools.write(throttle.take, caller)
    if standing is None or scope["type"] != "http":
        return send
    added = [(name.lower().encode(), value.encode()) for name, value in headers(standing).items()]

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name for name, _ in message.get("headers", ())}
            # An answer may have the headers of another limit, which is tighter.
            fresh = [pair for pair in added if pair[0] not in present]
            message = {**message, "headers": [*message.get("headers", ()), *fresh]}
        await send(message)

    return with_headers


def headers(standing: QuotaStatus) -> dict[str, str]:
    name = standing.name.replace(":", "-").replace('"', "")
    window = f";w={standing.window_s}" if standing.window_s else ""
    return {
        "RateLimit-Policy": f'"{name}";q={math.floor(standing.quota)}{window}',
        "RateLimit": f'"{name}";r={math.floor(standing.remaining)};t={max(1, math.ceil(standing.after_s))}',
    }
