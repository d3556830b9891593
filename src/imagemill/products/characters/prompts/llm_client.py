"""A client for chat completions of an OpenAI-compatible endpoint.

The operator configures the endpoint, so it may be on this machine or in the local network.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagemill.domain.errors import ImagemillError
from imagemill.net.backoff import retry_after_s
from imagemill.products.characters.settings import LlmSettings

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger(__name__)

TEMPERATURE = 0.3
"""Low, as a translation should not be creative."""
_ANSWER_TOKENS = 800
"""Maximum tokens of an answer; several times the length of fifteen tags or a short description."""
_RETRY_DEFAULT_S = 1.0
_FAILURES = 3
"""Consecutive failures after which the endpoint is not called for `LlmSettings.rest_s`; each may take the
whole timeout."""


class LlmFailed(ImagemillError):
    """There is no usable answer. The message contains no text of the question or the answer."""

    code = "chat_failed"
    retryable = True


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
        settings: LlmSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Imported here, as most installations have no language model.
        import httpx2

        self.model = model
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._settings = settings
        self._clock = clock
        self._errors: tuple[type[Exception], ...] = (httpx2.HTTPError, httpx2.InvalidURL)
        key = settings.api_key
        headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key is not None else {}
        self._http: httpx2.Client = httpx2.Client(
            headers=headers, timeout=settings.timeout_s, follow_redirects=False, trust_env=False
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
        if self._clock() < self._open_until:
            raise LlmFailed("the language model is not called for a while after several failures")
        try:
            text = self._request(system, user, self._clock() + self._settings.timeout_s)
        except LlmFailed as error:
            self._record(str(error))
            raise
        self._record("")
        return text

    def close(self) -> None:
        self._http.close()

    def _record(self, problem: str) -> None:
        with self._lock:
            self._problem = problem
            self._failures = self._failures + 1 if problem else 0
            if self._failures >= _FAILURES:
                self._failures = 0
                self._open_until = self._clock() + self._settings.rest_s

    def _request(self, system: str, user: str, end: float) -> str:
        body = {
            "model": self.model,
            "temperature": TEMPERATURE,
            "max_tokens": _ANSWER_TOKENS,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
        }
        reply = self._post(body, end)
        if reply.status == 429 or reply.status >= 500:
            asked_s = retry_after_s(reply.headers.get("retry-after"))
            pause_s = _RETRY_DEFAULT_S if asked_s is None else asked_s
            if pause_s > min(self._settings.retry_after_s, end - self._clock()):
                raise LlmFailed(f"the language model answered {reply.status}; a retry is not possible yet")
            time.sleep(pause_s)
            reply = self._post(body, end)
        if reply.status != 200:
            raise LlmFailed(f"the language model answered {reply.status}")
        return _content(reply.body)

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
            if len(received) > self._settings.answer_bytes:
                raise LlmFailed("the language model's answer is too large")
            if self._clock() > end:
                raise LlmFailed("the language model took too long")
        return bytes(received)


def _content(body: bytes) -> str:
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise LlmFailed("the language model's answer is not a chat completion") from error
    if not isinstance(content, str):
        raise LlmFailed("the language model's answer has no text")
    return content


def open_client(settings: LlmSettings) -> LlmClient | None:
    """Return a client of the language model that the settings name; None without one."""
    if settings.base_url is None or settings.model is None:
        return None
    return LlmClient(settings.base_url, settings.model, settings)
