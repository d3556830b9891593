"""Log formatters: text for people on a terminal, or one JSON object a line for machines.

They are hand-written formatters for the standard library's logging. Measured: a line of a job's stage costs 8
to 9 microseconds with its write, 3 of them in `logging` itself; with structlog it was 20 to 27. At 3,000
lines a second that is 3 % of a core instead of 7 %. There is no queue handler: alone it costs the caller 7
microseconds, and its thread repeats the work under the same interpreter lock. Lines of the level info are
written a few milliseconds later, many at once: each write alone gives the interpreter lock away, and threads
that log waited for each other's writes.
"""

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TextIO

from pydantic_core import to_json

from imagemill.domain.control_characters import escape_controls, escape_json

_STANDARD = frozenset(
    {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName", "color_message"}
)
"""Attributes of every record; the others were given as ``extra``. ``color_message`` is uvicorn's second copy
of its message."""

_LEVELS = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}

_COLORS = {10: "\x1b[2m", 20: "\x1b[32m", 30: "\x1b[33m", 40: "\x1b[31m", 50: "\x1b[1;31m"}
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"

_GATHER_S = 0.005
"""Seconds for which lines are gathered before they are written."""

_NONE: Mapping[str, str] = {}
_job: ContextVar[Mapping[str, str]] = ContextVar("imagemill_job", default=_NONE)


@contextmanager
def of_job(id: str, trace: str) -> Iterator[None]:
    """Add the job's id and trace to every line that this thread logs in the ``with`` block."""
    token = _job.set({"job": id, "trace": trace})
    try:
        yield
    finally:
        _job.reset(token)


def configure(
    level: str, format: Literal["text", "json"], stream: TextIO | None = None, *, uvicorn: bool = True
) -> logging.Handler:
    """Send all log lines of this process to ``stream`` (by default standard error), replacing former
    handlers.

    ``level`` applies to our own loggers. Other packages log warnings and above (info and above when ``level``
    is debug), as some of them log whole requests, including prompts, at lower levels.
    """
    target = stream or sys.stderr
    handler = logging.StreamHandler(target) if stream is not None else BatchedHandler(target)
    if format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        is_terminal = target.isatty()
        handler.setFormatter(TextFormatter(colors=is_terminal, dates=not is_terminal))
    number = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO if number <= logging.DEBUG else max(number, logging.WARNING))
    logging.getLogger("imagemill").setLevel(number)
    if uvicorn:
        for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [], True
    # It warns of every form that it cannot read; the client that sent it gets the reason.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    _drop_unused_fields()
    logging.captureWarnings(True)
    return handler


def _drop_unused_fields() -> None:
    """Switch off the lookup of caller, thread, process and task, which no line shows; it halves a call's
    cost."""
    # See "Optimization" in Python's logging how-to; not all of these names are in the type stubs.
    for name in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, name, False)
    logging.__dict__["_srcfile"] = None


class BatchedHandler(logging.StreamHandler[TextIO]):
    """Writes lines many at once, within milliseconds; warnings and errors at once, after the lines before.

    A process that is killed, or ends by `os._exit`, loses the lines of its last milliseconds, if they were no
    warnings.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: deque[str] = deque()
        # A signal's handler may log in the middle of a write of its own thread, as Celery's does.
        self._writing = threading.RLock()
        self._has_lines = threading.Event()
        self._writer: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record))
            if record.levelno >= logging.WARNING:
                self.flush()
            elif not (self._has_lines.is_set() and self._writer is not None and self._writer.is_alive()):
                self._wake()
        except Exception:  # noqa: BLE001 - as in `logging`: no line may end what it is about
            self.handleError(record)

    def flush(self) -> None:
        # Not under the handler's lock, which threads that log wait for.
        with self._writing:
            lines: list[str] = []
            while self._lines:
                lines.append(self._lines.popleft())
            if lines:
                self.stream.write("\n".join(lines) + "\n")
            if not self.stream.closed:
                self.stream.flush()

    def _wake(self) -> None:
        # Threads do not survive a fork, so a child of a pool begins another one.
        if self._writer is None or not self._writer.is_alive():
            self._writer = threading.Thread(target=self._write, name="imagemill-log", daemon=True)
            self._writer.start()
        self._has_lines.set()

    def _write(self) -> None:
        while True:
            self._has_lines.wait()
            time.sleep(_GATHER_S)
            self._has_lines.clear()
            try:
                self.flush()
            except (OSError, ValueError):
                # Nobody reads them any more, or the stream is closed.
                self._lines.clear()


class JsonFormatter(logging.Formatter):
    """Formats ``{"ts", "level", "logger", "event", ...}``: ``ts`` in UTC with microseconds, then the
    ``extra`` fields.

    The formatted second is cached; a handler formats under its own lock, so this is safe.
    """

    def __init__(self) -> None:
        super().__init__()
        self._second = -1
        self._stamp = ""

    def format(self, record: logging.LogRecord) -> str:
        created = record.created
        second = int(created)
        stamp = self._stamp if second == self._second else self._new_second(second)
        line: dict[str, Any] = {
            "ts": f"{stamp}.{int((created - second) * 1e6):06}Z",
            "level": _LEVELS.get(record.levelno) or record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= _job.get()
        line |= {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        text = to_json(line, fallback=str, inf_nan_mode="strings").decode()
        return escape_json(text)

    def _new_second(self, second: int) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        self._stamp, self._second = stamp, second
        return stamp


class TextFormatter(logging.Formatter):
    """Formats ``22:17:44.123 info    step 2/5 PROMPT_PREPARED  job=... trace=... ms=1.2``, in local time.

    Control characters are escaped, so that no foreign text can forge a line.
    """

    def __init__(self, *, colors: bool = False, dates: bool = True) -> None:
        super().__init__()
        self._colors = colors
        self._pattern = "%Y-%m-%d %H:%M:%S" if dates else "%H:%M:%S"
        self._second = -1
        self._stamp = ""

    def format(self, record: logging.LogRecord) -> str:
        created = record.created
        second = int(created)
        stamp = self._stamp if second == self._second else self._new_second(second)
        number = record.levelno
        level = _LEVELS.get(number) or record.levelname.lower()
        message = escape_controls(record.getMessage())
        facts = "".join(
            [
                f" {key}={_value(value)}"
                for key, value in record.__dict__.items()
                if key not in _STANDARD and value is not None
            ]
        )
        if job := _job.get():
            facts = f" job={job['job']} trace={job['trace']}{facts}"
        millis = int((created - second) * 1000)
        if self._colors:
            color = _COLORS.get(number, "")
            line = (
                f"{_DIM}{stamp}.{millis:03}{_PLAIN} {color}{level:<7}{_PLAIN} {message} {_DIM}{facts}{_PLAIN}"
            )
        else:
            line = f"{stamp}.{millis:03} {level:<7} {message} {facts}" if facts else (
                f"{stamp}.{millis:03} {level:<7} {message}"
            )  # fmt: skip
        if record.exc_info:
            line += "\n" + _indented(self.formatException(record.exc_info))
        if record.stack_info:
            line += "\n" + _indented(record.stack_info)
        return line

    def _new_second(self, second: int) -> str:
        stamp = time.strftime(self._pattern, time.localtime(second))
        self._stamp, self._second = stamp, second
        return stamp


def _value(value: Any) -> str:
    text = escape_controls(value if type(value) is str else str(value))
    return f'"{text}"' if " " in text or not text else text


def _indented(text: str) -> str:
    """Indent a traceback, so that none of its lines looks like a log line."""
    return "\n".join(f"    {escape_controls(line)}" for line in text.splitlines())
