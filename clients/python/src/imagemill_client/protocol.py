"""The protocol without input and output: requests, answers, retries and the event stream."""

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from imagemill_client.errors import ApiError
from imagemill_client.models import EventBody, JobBody, Problem, ProgressBody

DEFAULT_URL = "http://127.0.0.1:8700"
JOBS = "/api/v1/jobs"
UPLOADS = "/api/v1/uploads"
FINISHED = frozenset({"succeeded", "failed", "canceled", "expired"})
_RETRIED = frozenset({429, 502, 503, 504})
_LONGEST_PAUSE_S = 60.0
_random = Random()  # noqa: S311 - jitter; the module's own generator belongs to the application

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The pauses between attempts of one request: they double, and a server's Retry-After is kept."""

    retries: int = 4
    first_s: float = 0.25
    cap_s: float = 8.0

    def pause_s(self, attempt: int, response: httpx2.Response | None) -> float | None:
        """Return the seconds to wait before another attempt; None to give up.

        ``attempt`` counts from 0; ``response`` is None when none came. A request may be repeated
        since those that create something carry an idempotency key.
        """
        if attempt >= self.retries or (response is not None and response.status_code not in _RETRIED):
            return None
        pause = min(self.cap_s, self.first_s * 2**attempt) * _random.uniform(0.5, 1.0)
        wanted = response.headers.get("retry-after", "") if response is not None else ""
        if wanted.isdigit():
            return max(pause, float(wanted)) if float(wanted) <= _LONGEST_PAUSE_S else None
        return pause


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict[str, Any])
    json: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `httpx2.Client.request`."""
        return {
            "method": self.method,
            "url": self.path,
            # An empty query would replace the one that a signed address has.
            "params": {name: value for name, value in self.query.items() if value is not None} or None,
            "json": self.json,
            "content": self.content,
            "headers": dict(self.headers),
        }


def client_options(url: str, token: str | None, timeout_s: float) -> dict[str, Any]:
    headers = {"accept": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
    return {"base_url": url.rstrip("/"), "headers": headers, "timeout": timeout_s}


def submission(
    recipe: str,
    input: Mapping[str, Any],
    key: str | None,
    options: Mapping[str, Any],
    *,
    whatif: bool = False,
) -> Call:
    """Return the request that submits a job. Without a key a random one makes its retries safe."""
    body = {"recipe": recipe, "input": dict(input), **options}
    headers = {} if whatif else {"idempotency-key": key or str(uuid.uuid4())}
    return Call("POST", JOBS, {"whatif": "true"} if whatif else {}, json=body, headers=headers)


def upload(picture: bytes, media_type: str) -> Call:
    return Call("POST", UPLOADS, content=picture, headers={"content-type": media_type})


def events(job_id: str, after: int) -> Call:
    return Call("GET", f"{JOBS}/{job_id}/events", {"after": after}, headers={"accept": "text/event-stream"})


def check(response: httpx2.Response) -> httpx2.Response:
    """Return an answer that is no error. Raises `ApiError`."""
    if response.is_success:
        return response
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        problem = None
    raise ApiError(response.status_code, response.text, problem)


def parse(model: type[Body], response: httpx2.Response) -> Body:
    return model.model_validate_json(check(response).content)


class EventParser:
    """Reads the lines of an event stream, and remembers where to resume it."""

    def __init__(self, after: int = 0) -> None:
        self.after = after
        """The number of the last event that was read."""
        self._data: list[str] = []

    def feed(self, line: str) -> Iterator[EventBody | ProgressBody]:
        """Take a line without its end. A complete message is yielded: a durable event, or progress."""
        if line.startswith("data:"):
            self._data.append(line[5:].removeprefix(" "))
        elif not line and self._data:
            message = json.loads("\n".join(self._data))
            self._data.clear()
            if message.get("type") == "progress":
                yield ProgressBody.model_validate(message)
            elif "seq" in message:
                event = EventBody.model_validate(message)
                self.after = event.seq
                yield event

    def restart(self) -> None:
        """Forget an unfinished message, after a lost connection."""
        self._data.clear()


def is_finished(job: JobBody) -> bool:
    return job.status in FINISHED
