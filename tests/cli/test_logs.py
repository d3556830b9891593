"""Log lines: what they hold, what they hide, what they cost."""

import io
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from imagemill.observability import logs

STAGE: dict[str, Any] = {"job": "019a0000-0000-7000-8000-000000000000", "trace": "00-11-22-00", "ms": 0.4}


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Restore the logging of the process."""
    names = ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks", "_srcfile")
    kept = {name: logging.__dict__[name] for name in names if name in logging.__dict__}
    root, ours = logging.getLogger(), logging.getLogger("imagemill")
    handlers, levels = root.handlers, (root.level, ours.level)
    yield
    logging.captureWarnings(False)
    logging.__dict__.update(kept)
    root.handlers = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_stage_is_a_line_for_people() -> None:
    stream = io.StringIO()
    logs.configure("debug", "text", stream)
    logging.getLogger("imagemill.jobs.runner").debug("step %d/5 %s", 2, "PROMPT_PREPARED", extra=STAGE)
    day, clock, rest = stream.getvalue().split(" ", 2)
    assert time.strptime(f"{day} {clock[:8]}", "%Y-%m-%d %H:%M:%S")
    assert rest == f"debug   step 2/5 PROMPT_PREPARED  job={STAGE['job']} trace=00-11-22-00 ms=0.4\n"


def test_colours_are_for_terminals() -> None:
    stream = Terminal()
    logs.configure("info", "text", stream)
    logging.getLogger("imagemill").warning("careful")
    assert "\x1b[33mwarning" in stream.getvalue()


def test_a_stage_is_an_object_for_machines() -> None:
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    logging.getLogger("imagemill.jobs.runner").debug("step %d/5 %s", 2, "PROMPT_PREPARED", extra=STAGE)
    line = json.loads(stream.getvalue())
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "debug",
        "logger": "imagemill.jobs.runner",
        "event": "step 2/5 PROMPT_PREPARED",
        **STAGE,
    }


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_traceback_is_kept(format: str) -> None:
    stream = io.StringIO()
    logs.configure("info", format, stream)  # type: ignore[arg-type]
    try:
        raise ValueError("the cause")
    except ValueError:
        logging.getLogger("imagemill").exception("it broke")
    text = stream.getvalue()
    assert "Traceback" in text
    assert "ValueError: the cause" in text
    assert len(text.splitlines()) == 1 if format == "json" else text.splitlines()[1].startswith("    ")


@pytest.mark.parametrize("format", ["text", "json"])
def test_lines_of_a_jobs_work_tell_of_it_whoever_writes_them(format: str) -> None:
    stream = io.StringIO()
    logs.configure("info", format, stream)  # type: ignore[arg-type]
    with logs.of_job(STAGE["job"], STAGE["trace"]):
        logging.getLogger("httpx2").warning("slow", extra={"ms": 4})
    logging.getLogger("imagemill").warning("idle")
    of_job, other = stream.getvalue().splitlines()

    if format == "json":
        assert {**json.loads(of_job), "ts": ""} == {
            "ts": "",
            "level": "warning",
            "logger": "httpx2",
            "event": "slow",
            **STAGE,
            "ms": 4,
        }
        assert "job" not in json.loads(other)
    else:
        assert of_job.endswith(f"slow  job={STAGE['job']} trace=00-11-22-00 ms=4")
        assert other.endswith("idle")


def test_no_message_forges_a_line_or_a_colour() -> None:
    stream = io.StringIO()
    logs.configure("info", "text", stream)
    logging.getLogger("imagemill").info("host %s", "a\n2026 info paid\x1b[2J", extra={"why": "x\ny z"})
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()
    assert '"x\\ny z"' in stream.getvalue()


def test_values_of_any_kind_become_json() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    logging.getLogger("imagemill").info("odd", extra={"thing": object(), "nan": float("nan")})
    assert json.loads(stream.getvalue())["thing"].startswith("<object")


def test_other_packages_speak_from_warnings_on() -> None:
    stream = io.StringIO()
    logs.configure("info", "text", stream)
    logging.getLogger("httpx2").info("POST with a prompt")
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert "prompt" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1


def test_the_level_holds() -> None:
    stream = io.StringIO()
    logs.configure("error", "text", stream)
    logging.getLogger("imagemill").warning("not logged")
    assert not stream.getvalue()


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_line_is_cheap(format: str) -> None:
    """9 microseconds on an idle machine; the bound leaves room for a busy one and a slow interpreter."""
    logs.configure("info", format, io.StringIO())  # type: ignore[arg-type]
    log = logging.getLogger("imagemill.jobs.runner")
    best = sys.float_info.max
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(1000):
            log.info("step %d/5 %s", 2, "PROMPT_PREPARED", extra=STAGE)
        best = min(best, (time.perf_counter() - began) / 1000)
    assert best < 60e-6


def test_lines_are_written_together_and_warnings_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written = _Writes()
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr(logs, "_GATHER_S", 3600.0)
    handler = logs.configure("info", "text")
    logger = logging.getLogger("imagemill.test")
    logger.info("first")
    logger.info("second")
    assert written.parts == []
    logger.warning("third")
    assert [line.split()[-1] for line in "".join(written.parts).splitlines()] == ["first", "second", "third"]
    assert len(written.parts) == 1
    logger.info("last")
    handler.flush()  # as `logging.shutdown` does at the end of a process
    assert written.parts[1].split()[-1] == "last"


def test_a_line_in_the_middle_of_a_write_of_its_thread_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the handler of a signal does."""
    logger = logging.getLogger("imagemill.test")

    class Interrupted(_Writes):
        def write(self, text: str) -> int:
            if not self.parts:
                self.parts.append("")
                logger.warning("inner")
            return super().write(text)

    written = Interrupted()
    monkeypatch.setattr(sys, "stderr", written)
    logs.configure("info", "text")
    logger.warning("outer")
    assert sorted(line.split()[-1] for line in "".join(written.parts).splitlines()) == ["inner", "outer"]


def test_lines_that_no_warning_follows_are_written_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    written = _Writes()
    monkeypatch.setattr(sys, "stderr", written)
    logs.configure("info", "text")
    for number in range(3):
        logging.getLogger("imagemill.test").info("line %d", number)
        assert written.has_more.wait(30)
        written.has_more.clear()
    assert [line.split()[-1] for line in "".join(written.parts).splitlines()] == ["0", "1", "2"]


class _Writes(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.has_more = threading.Event()

    def write(self, text: str) -> int:
        self.parts.append(text)
        self.has_more.set()
        return len(text)


def test_lines_that_two_threads_log_at_the_same_time_are_written() -> None:
    stream = io.StringIO()
    handler = logs.BatchedHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    # Another thread has added its line, and has not woken the writer yet: neither of them is the first then.
    handler._lines.append("theirs")  # pyright: ignore[reportPrivateUsage]
    handler.emit(logging.makeLogRecord({"msg": "ours", "levelno": logging.INFO}))
    end = time.monotonic() + 30
    while stream.getvalue() != "theirs\nours\n":
        assert time.monotonic() < end, stream.getvalue()
        time.sleep(0.005)
