"""The backend of page work, with its real child processes."""

import dataclasses
import os
import pickle
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from imagemill.backends.base import (
    OUTPUT,
    Progress,
    RenderCanceled,
    RenderControl,
    RenderRequest,
    RenderResult,
)
from imagemill.backends.press.backend import Press
from imagemill.backends.press.pool import Order, PressPool
from imagemill.backends.press.scratch import ScratchFolder
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import PageSpec
from imagemill.media.page_work import PageFile, PageResult
from tests.press.works import PDF, Facts, Fail, Hang, Join, Pages, Rectangle, can_leave_network, facts, png


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are."""
    place = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def press() -> Iterator[Press]:
    press = Press(2)
    yield press
    press.close()


def order(work: Any, **changes: Any) -> RenderRequest:
    pages = changes.pop("pages", 1)
    request = RenderRequest("job-1", 1, "reference", "press", PageSpec("testWork", work, pages=pages), 30.0)
    return dataclasses.replace(request, **changes)


def run(press: Press, work: Any, control: RenderControl | None = None, **changes: Any) -> RenderResult:
    request = order(work, **changes)
    return press.follow(request, press.send(request), control or RenderControl())


def failure(press: Press, work: Any, **changes: Any) -> BackendError:
    with pytest.raises(BackendError) as caught:
        run(press, work, **changes)
    return caught.value


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


class Hanging:
    """Work that hangs, in a thread of its own, with the id of its process."""

    def __init__(self, press: Press, **changes: Any) -> None:
        self.error: BaseException | None = None
        self._started = threading.Event()
        self.pid = 0
        self.control = RenderControl(self._on_progress)
        self._thread = threading.Thread(target=self._run, args=(press, changes), daemon=True)
        self._thread.start()
        assert self._started.wait(20)

    def _on_progress(self, progress: Progress) -> None:
        if progress.note.isdigit():
            self.pid = int(progress.note)
            self._started.set()

    def _run(self, press: Press, changes: Mapping[str, Any]) -> None:
        try:
            run(press, Hang(), self.control, **changes)
        except (BackendError, RenderCanceled) as error:
            self.error = error

    def end(self) -> BaseException | None:
        self._thread.join(20)
        return self.error


def test_files_and_values_come_back_unchanged(press: Press) -> None:
    result = run(press, Rectangle(40, 30))
    assert [(file.data, file.media_type) for file in result.outputs] == [(png(40, 30), "image/png")]
    assert result.details == {"work": "testWork", OUTPUT: {"size": [40, 30]}}


def test_work_gets_its_inputs_by_name(press: Press) -> None:
    big = os.urandom(20 * 2**20)
    result = run(press, Join(), inputs={"b": big, "a": png(4, 4)})
    assert result.outputs[0].data == PDF + png(4, 4) + big
    assert result.outputs[0].media_type == "application/pdf"
    assert result.details[OUTPUT] == {"names": ["a", "b"]}


def test_a_process_is_kept_for_the_next_work_and_gives_way_to_the_server(press: Press) -> None:
    first, second = (run(press, Facts()).details[OUTPUT] for _ in range(2))
    assert first == second
    assert press.pool.processes == [first["pid"]]
    assert first["pid"] != os.getpid()
    assert first["nice"] == facts()["nice"] + 10


@pytest.mark.skipif(not can_leave_network(), reason="the system allows no network of one's own")
def test_a_process_has_no_network(press: Press) -> None:
    found = run(press, Facts()).details[OUTPUT]
    assert found["devices"] == ["lo"]
    assert found["network"] != facts()["network"]


def test_two_slots_work_at_the_same_time_and_a_third_waits(press: Press) -> None:
    first, second = Hanging(press), Hanging(press)
    assert first.pid != second.pid
    control = RenderControl()
    threading.Timer(0.2, control.stop).start()
    with pytest.raises(RenderCanceled):
        run(press, Rectangle(), control)
    first.control.stop()
    assert isinstance(first.end(), RenderCanceled)
    assert run(press, Rectangle()).outputs
    second.control.stop()
    assert isinstance(second.end(), RenderCanceled)


def test_stopped_work_is_killed(press: Press) -> None:
    hanging = Hanging(press)
    hanging.control.stop()
    assert isinstance(hanging.end(), RenderCanceled)
    assert not is_alive(hanging.pid)
    assert press.pool.processes == []


def test_late_work_is_killed(press: Press) -> None:
    hanging = Hanging(press, timeout_s=2.0)
    error = hanging.end()
    assert isinstance(error, BackendError)
    assert error.failure is FailureCode.TIMEOUT
    assert str(error) == "the page work testWork took longer than 2 s"
    assert not is_alive(hanging.pid)


def test_closing_ends_all_processes() -> None:
    press = Press(2)
    hanging = Hanging(press)
    run(press, Rectangle())
    processes = press.pool.processes
    assert len(processes) == 2
    press.close()
    assert isinstance(hanging.end(), BackendError)
    assert not any(map(is_alive, processes))


@pytest.mark.parametrize(("how", "reason"), [("kill", "SIGKILL"), ("abort", "SIGABRT")])
def test_a_process_that_dies_is_a_failure_that_is_retried(press: Press, how: str, reason: str) -> None:
    error = failure(press, Fail(how))
    assert error.failure is FailureCode.NODE_LOST
    assert reason in str(error)
    assert run(press, Rectangle()).outputs


def test_a_process_that_was_killed_while_it_was_idle_is_replaced(press: Press) -> None:
    run(press, Rectangle())
    (pid,) = press.pool.processes
    os.kill(pid, 9)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # all its threads have ended, too
    assert run(press, Rectangle()).outputs
    assert press.pool.processes != [pid]


def test_a_process_without_work_ends_and_is_replaced() -> None:
    pool = PressPool(1, idle_s=0.1)
    work = Order("facts", pickle.dumps(Facts()), {}, 30.0)
    pids: list[int] = []
    for _ in range(2):
        pids.append(pool.run(work, lambda: None, lambda *_: None).head["values"]["pid"])
        while is_alive(pids[-1]):
            time.sleep(0.005)
    assert pids[0] != pids[1]
    pool.close()


def test_a_failure_keeps_its_type(press: Press) -> None:
    error = failure(press, Fail("backend_unavailable"))
    assert (error.failure, str(error)) == (
        FailureCode.BACKEND_UNAVAILABLE,
        "the work failed by backend_unavailable",
    )
    assert (error.after_s, error.counts) == (3.0, False)


def test_a_damaged_picture_is_a_bad_input(press: Press) -> None:
    error = failure(press, Fail("image"))
    assert error.failure is FailureCode.BAD_INPUT
    assert str(error) == "an input picture cannot be decoded: the file is damaged"


def test_a_missing_package_is_named_with_its_extra(press: Press) -> None:
    error = failure(press, Fail("extra"))
    assert error.failure is FailureCode.BACKEND_REJECTED
    assert "pip install 'imagemill[books]'" in str(error)


def test_memory_is_limited(press: Press) -> None:
    assert failure(press, Fail("memory")).failure is FailureCode.OUT_OF_MEMORY
    assert run(press, Rectangle()).outputs


def folders(place: Path) -> list[Path]:
    return sorted(place.glob("imagemill-press-*"))


def test_temporary_files_are_deleted_with_the_work(press: Press, place: Path, tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("not of the work")
    found = run(press, Fail("files", str(tmp_path))).details[OUTPUT]
    (folder,) = folders(place)
    assert found == {"folder": str(folder)}
    assert list(folder.iterdir()) == []
    assert (tmp_path / "kept.txt").exists()
    press.close()
    assert folders(place) == []


def test_temporary_files_are_deleted_when_the_process_is_killed(press: Press, place: Path) -> None:
    failure(press, Fail("files and kill"))
    assert folders(place) == []
    assert run(press, Rectangle()).outputs


def test_files_of_a_server_that_was_killed_are_deleted_by_the_next(press: Press, place: Path) -> None:
    abandoned, held = place / "imagemill-press-abandoned", ScratchFolder()
    abandoned.mkdir()
    (abandoned / "photo.png").write_bytes(b"a photo")
    run(press, Rectangle())
    assert not abandoned.exists()
    assert held.path.exists()
    held.remove()


def test_too_large_values_are_refused(press: Press) -> None:
    error = failure(press, Fail("values"))
    assert error.failure is FailureCode.OUTPUT_LIMIT
    assert "at most 65536 are kept" in str(error)


def test_what_a_library_prints_does_not_disturb(press: Press) -> None:
    assert run(press, Fail("print")).details[OUTPUT] == {"printed": True}


@pytest.mark.parametrize("how", ["bug", "type"])
def test_another_error_is_a_bug_with_its_traceback_in_the_log_only(
    press: Press, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = failure(press, Fail(how, "page nine"))
    assert error.failure is FailureCode.BUG
    assert "page nine" not in str(error)
    assert (
        "ValueError: no page for page nine" if how == "bug" else "TypeError: page work returned"
    ) in caplog.text


def test_the_log_has_nothing_of_private_input(press: Press, caplog: pytest.LogCaptureFixture) -> None:
    assert failure(press, Fail("bug", "Olenka"), leaves_nothing=True).failure is FailureCode.BUG
    assert "in __call__" in caplog.text
    assert caplog.text.rstrip().endswith("ValueError")
    assert "Olenka" not in caplog.text.replace('f"no page for {self.secret}"', "")


def test_progress_is_told_by_pages_and_never_falls(press: Press) -> None:
    seen: list[Progress] = []
    run(press, Pages(3), RenderControl(seen.append), pages=3)
    assert [(each.step, each.total, each.note) for each in seen] == [
        (0, 3, "testWork"),
        (1, 3, "page 1"),
        (2, 3, "page 2"),
        (3, 3, "page 3"),
        (3, 3, "page 3"),
    ]


@dataclasses.dataclass(frozen=True)
class _Local:
    """Work at module level of this module."""

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        return PageResult((PageFile(b"text", "text/plain"),))


def test_work_of_any_module_that_the_server_can_import_is_found(press: Press) -> None:
    assert run(press, _Local()).outputs[0].data == b"text"
