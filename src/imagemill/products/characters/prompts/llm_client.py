"""A client of one call: chat completions of an endpoint that speaks as OpenAI's does.

The operator names the endpoint, so it may be on this machine or in the local network.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from imagemill.domain.errors import ImagemillError
from imagemill.products.characters.settings import LlmSettings

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger(__name__)

TEMPERATURE = 0.3
"""Words are to be found, not made up."""
_ANSWER_TOKENS = 800
"""Several times what fifteen tags or a short description take."""
_RETRY_DEFAULT_S = 1.0
_FAILURES = 3
"""In a row, after which the endpoint is left alone for a while: each may cost the whole time limit."""


class LlmFailed(ImagemillError):
    """No answer that could be used. Holds no text of question or answer."""

    code = "chat_failed"
    retryable = True


@dataclass(frozen=True, slots=True)
class LlmRules:
    base_url: str
    model: str
    api_key: str | None = None
    timeout_s: float = 20.0
    """Of a call with its retry."""
    answer_bytes: int = 64 * 1024
    retry_after_s: float = 5.0
    """The longest wait before the one retry; an endpoint that asks for more gets none."""
    rest_s: float = 30.0


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


class LlmClient:
    """May be used by several threads at once."""

    def __init__(self, rules: LlmRules, *, clock: Callable[[], float] = time.monotonic) -> None:
        # Here, as most installations have no language model.
        import httpx2

        self.rules = rules
        self._clock = clock
        self._errors: tuple[type[Exception], ...] = (httpx2.HTTPError, httpx2.InvalidURL)
        headers = {"Authorization": f"Bearer {rules.api_key}"} if rules.api_key else {}
        self._http: httpx2.Client = httpx2.Client(
            headers=headers, timeout=rules.timeout_s, follow_redirects=False, trust_env=False
        )
        self._lock = threading.Lock()
        self._failures = 0
        self._rests_until = 0.0
        self._problem = ""

    @property
    def problem(self) -> str:
        """Of the last call; "" when it went well."""
        return self._problem

    def ask(self, system: str, user: str) -> str:
        """The text of the answer. Raises `LlmFailed`."""
        if self._clock() < self._rests_until:
            raise LlmFailed("the language model is left alone for a while after several failures")
        try:
            text = self._asked(system, user, self._clock() + self.rules.timeout_s)
        except LlmFailed as error:
            self._note(str(error))
            raise
        self._note("")
        return text

    def close(self) -> None:
        self._http.close()

    def _note(self, problem: str) -> None:
        with self._lock:
            self._problem = problem
            self._failures = self._failures + 1 if problem else 0
            if self._failures >= _FAILURES:
                self._failures = 0
                self._rests_until = self._clock() + self.rules.rest_s

    def _asked(self, system: str, user: str, end: float) -> str:
        body = {
            "model": self.rules.model,
            "temperature": TEMPERATURE,
            "max_tokens": _ANSWER_TOKENS,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
        }
        reply = self._post(body, end)
        if reply.status == 429 or reply.status >= 500:
            pause_s = _retry_after_s(reply.headers)
            if pause_s > min(self.rules.retry_after_s, end - self._clock()):
                raise LlmFailed(
                    f"the language model answered {reply.status} and is not to be asked again soon"
                )
            time.sleep(pause_s)
            reply = self._post(body, end)
        if reply.status != 200:
            raise LlmFailed(f"the language model answered {reply.status}")
        return _content(reply.body)

    def _post(self, body: Mapping[str, Any], end: float) -> _Reply:
        url = f"{self.rules.base_url.rstrip('/')}/chat/completions"
        left_s = max(0.01, end - self._clock())
        try:
            with self._http.stream("POST", url, json=body, timeout=left_s) as response:
                return _Reply(response.status_code, response.headers, self._received(response, end))
        except self._errors as error:
            # Its text may hold the address with a key in it.
            raise LlmFailed(f"the language model could not be asked: {type(error).__name__}") from error

    def _received(self, response: "httpx2.Response", end: float) -> bytes:
        """A limit for the whole, as an answer may drip in for ever."""
        received = bytearray()
        for chunk in response.iter_bytes():
            received += chunk
            if len(received) > self.rules.answer_bytes:
                raise LlmFailed("the language model's answer is too large")
            if self._clock() > end:
                raise LlmFailed("the language model took too long")
        return bytes(received)


def _retry_after_s(headers: Mapping[str, str]) -> float:
    text = headers.get("retry-after", "")
    if not text:
        return _RETRY_DEFAULT_S
    try:
        pause_s = float(text)
    except ValueError:
        try:
            pause_s = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return _RETRY_DEFAULT_S
    # Not a number is no number of seconds either.
    return max(0.0, pause_s) if pause_s == pause_s else _RETRY_DEFAULT_S


def _content(body: bytes) -> str:
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise LlmFailed("the language model's answer is no chat completion") from error
    if not isinstance(content, str):
        raise LlmFailed("the language model's answer has no text")
    return content


def open_client(settings: LlmSettings) -> LlmClient | None:
    """Return a client of the language model that the settings name; None without one."""
    if settings.base_url is None or settings.model is None:
        return None
    key = settings.api_key.get_secret_value() if settings.api_key is not None else None
    return LlmClient(
        LlmRules(
            settings.base_url,
            settings.model,
            key,
            timeout_s=settings.timeout_s,
            answer_bytes=settings.answer_bytes,
            retry_after_s=settings.retry_after_s,
            rest_s=settings.rest_s,
        )
    )
