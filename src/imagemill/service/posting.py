"""One delivery over HTTP: an address a user gave, a bounded time, an answer whose body is not read."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from imagemill.service.deadline import Deadline
from imagemill.service.guard import Guard, guarded_client
from imagemill.service.senders import Lane

_HEADERS = {"User-Agent": "imagemill", "Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Posted:
    status: int | None
    """None: there was no answer."""
    error: str | None
    """What went wrong; None: the receiver took it."""
    took_ms: int


class Poster:
    """``timeout_s``: for looking the host up, connecting, sending and the answer, all together."""

    def __init__(self, guard: Guard, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._client = guarded_client(guard, timeout_s=timeout_s, headers=_HEADERS)

    def close(self) -> None:
        self._client.close()

    def post(self, url: str, content: bytes, headers: Mapping[str, str] | None = None) -> Posted:
        """Raises nothing."""
        begin = time.monotonic()
        status, error = self._exchange(url, content, headers)
        return Posted(status, error, round((time.monotonic() - begin) * 1000))

    def _exchange(
        self, url: str, content: bytes, headers: Mapping[str, str] | None
    ) -> tuple[int | None, str | None]:
        deadline = Deadline(self._timeout_s)
        stream = self._client.stream(
            "POST", url, content=content, headers=headers, extensions=deadline.extensions
        )
        try:
            # The answer's body is not read: it is of no use and may be endless.
            with deadline.running(), stream as response:
                status = response.status_code
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            if deadline.passed:
                return None, f"the receiver did not answer within {self._timeout_s:g} s"
            return None, f"{type(error).__name__}: {error}"
        if 300 <= status < 400:
            return status, f"the receiver answered {status}; redirects are not followed"
        return status, None if 200 <= status < 300 else f"the receiver answered {status}"


def lane_of(owner: str, url: str, target: str = "") -> Lane:
    """The lane of a delivery; an account and its end users are one."""
    return Lane(owner.partition(":")[0], receiver_of(url), target)


def receiver_of(url: str) -> str:
    """The part of a URL that all URLs of its receiver share; a client may use another one for each job."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.partition('/')[0]}"
