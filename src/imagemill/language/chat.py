"""A client for chat completions of an OpenAI-compatible endpoint.

The operator configures the endpoint, so it may be on this machine or in the local network.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import ImagemillError
from imagemill.language.answers import ChatAnswer
from imagemill.language.settings import ChatLimits
from imagemill.net.backoff import retry_after_s

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger(__name__)
_T = TypeVar("_T")

TEMPERATURE = 0.3
"""Low, as a translation should not be creative."""
_ANSWER_TOKENS = 800
"""Maximum tokens of an answer; several times the length of fifteen tags or a short description."""
_RETRY_DEFAULT_S = 1.0
_FAILURES = 3
"""Consecutive failures after which the endpoint is not called for `ChatLimits.rest_s`; each may take the
whole timeout."""
_REFUSALS = (400, 413, 422)
"""Statuses that are due to the question: another one may be answered."""


class LlmFailed(ImagemillError):
    """There is no usable answer. The message contains no text of the question or the answer.

    ``after_s``: seconds until a call may succeed, where that is known.
    """

    code = "chat_failed"
    retryable = True

    def __init__(self, message: str, *, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class LlmRefused(LlmFailed):
    """The endpoint does not accept the question; asking again is useless."""

    code = "chat_refused"
    retryable = False


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


class LlmClient:
    """Thread-safe client with one retry and a circuit breaker."""

    def __init__(
        self,
        base_url: str,
        model: str,
        limits: ChatLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Imported here, as most installations have no language model.
        import httpx2

        self.model = model
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._limits = limits
        self._clock = clock
        self._errors: tuple[type[Exception], ...] = (httpx2.HTTPError, httpx2.InvalidURL)
        key = limits.api_key
        headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key is not None else {}
        self._http: httpx2.Client = httpx2.Client(
            headers=headers, timeout=limits.timeout_s, follow_redirects=False, trust_env=False
        )
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until = 0.0
        self._problem = ""

    @property
    def problem(self) -> str:
        """The problem of the last call; empty when it succeeded."""
        return self._problem

    def ask(self, system: str, user: str) -> str:
        """Return the text of the answer. Raises `LlmFailed`."""
        body = {
            "temperature": TEMPERATURE,
            "max_tokens": _ANSWER_TOKENS,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
        }
        return self._call(body, _read_text)

    def complete(self, body: Mapping[str, Any]) -> ChatAnswer:
        """Return the chat completion of a request body without its ``model``. Raises `LlmFailed`."""
        return self._call(body, _read_answer)

    def _call(self, body: Mapping[str, Any], read: Callable[[bytes], _T]) -> _T:
        rest_s = self._open_until - self._clock()
        if rest_s > 0:
            message = "the language model is not called for a while after several failures"
            raise LlmFailed(message, after_s=rest_s)
        try:
            answer = read(
                self._request({"model": self.model, **body}, self._clock() + self._limits.timeout_s)
            )
        except LlmFailed as error:
            self._record(str(error), counts=not isinstance(error, LlmRefused))
            raise
        self._record("")
        return answer

    def close(self) -> None:
        self._http.close()

    def _record(self, problem: str, *, counts: bool = True) -> None:
        with self._lock:
            self._problem = problem
            if not counts:
                return
            self._failures = self._failures + 1 if problem else 0
            if self._failures >= _FAILURES:
                self._failures = 0
                self._open_until = self._clock() + self._limits.rest_s

    def _request(self, body: Mapping[str, Any], end: float) -> bytes:
        reply = self._post(body, end)
        if reply.status == 429 or reply.status >= 500:
            asked_s = retry_after_s(reply.headers.get("retry-after"))
            pause_s = _RETRY_DEFAULT_S if asked_s is None else asked_s
            if pause_s > min(self._limits.retry_after_s, end - self._clock()):
                message = f"the language model answered {reply.status}; a retry is not possible yet"
                raise LlmFailed(message, after_s=pause_s)
            time.sleep(pause_s)
            reply = self._post(body, end)
        if reply.status in _REFUSALS:
            raise LlmRefused(f"the language model answered {reply.status}")
        if reply.status != 200:
            raise LlmFailed(f"the language model answered {reply.status}")
        return reply.body

    def _post(self, body: Mapping[str, Any], end: float) -> _Reply:
        left_s = max(0.01, end - self._clock())
        try:
            with self._http.stream("POST", self._url, json=body, timeout=left_s) as response:
                return _Reply(response.status_code, response.headers, self._read_body(response, end))
        except self._errors as error:
            # The error's text may contain the URL with a key in it.
            raise LlmFailed(f"the language model could not be reached: {type(error).__name__}") from error

    def _read_body(self, response: "httpx2.Response", end: float) -> bytes:
        """Read the body with limits on size and total time, as a slow response could take for ever."""
        received = bytearray()
        for chunk in response.iter_bytes():
            received += chunk
            if len(received) > self._limits.answer_bytes:
                raise LlmFailed("the language model's answer is too large")
            if self._clock() > end:
                raise LlmFailed("the language model took too long")
        return bytes(received)


def _read_answer(body: bytes) -> ChatAnswer:
    """Read a chat completion. Raises `LlmFailed`."""
    try:
        return ChatAnswer.model_validate_json(body)
    except (ValidationError, RecursionError) as error:
        raise LlmFailed("the language model's answer is not a chat completion") from error


def _read_text(body: bytes) -> str:
    """Return the text of a chat completion's first choice. Raises `LlmFailed`."""
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise LlmFailed("the language model's answer is not a chat completion") from error
    if not isinstance(content, str):
        raise LlmFailed("the language model's answer has no text")
    return content


def open_client(base_url: str | None, model: str | None, limits: ChatLimits) -> LlmClient | None:
    """Return a client of the model; None without an endpoint or a model."""
    return None if base_url is None or model is None else LlmClient(base_url, model, limits)
