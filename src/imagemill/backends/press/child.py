"""The program that does page work: ``python -m imagemill.backends.press.child``.

The work decodes untrusted photos with large libraries, so it runs in this process: it can be killed at any
moment, its memory, its processor time and its files are limited, and it has no network. Its temporary files
are in a folder of its own, which is deleted with it. `imagemill.backends.press.pool` starts it and talks to
it.
"""

import contextlib
import ctypes
import json
import os
import pickle
import select
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import IO, Any

from imagemill.backends.press import channel
from imagemill.domain.errors import BackendError, MissingExtra
from imagemill.domain.failures import FailureCode
from imagemill.media.layout import InvalidImage
from imagemill.media.page_work import REPORTER, PageResult
from imagemill.media.sandbox_child import confine, extend_cpu_time

_OPEN_FILES = 64
"""Fonts and models are opened one after the other."""
_FILE_BYTES = 2**30
"""Largest temporary file."""
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
"""The flags of Linux's ``unshare``."""
_PARENT_CHECK_S = 1.0
_LONGEST_TRACE = 20_000
"""Characters of a traceback that are kept, its end."""

_Answer = tuple[dict[str, Any], Sequence[bytes]]


def _run(head: Mapping[str, Any], files: Sequence[bytes], answers: IO[bytes]) -> _Answer:
    """Run one piece of work; return its answer, a failure included."""

    def report(done: int, total: int, note: str) -> None:
        channel.write(answers, {"progress": [int(done), int(total), str(note)[:200]]})

    token = REPORTER.set(report)
    try:
        work = pickle.loads(files[0])  # noqa: S301 - packed by our own server
        return _packed(work(dict(zip(head["names"], files[1:], strict=True))))
    except BackendError as error:
        return _failed(error.failure, str(error), after_s=error.after_s, counts=error.counts), ()
    except InvalidImage as error:
        return _failed(FailureCode.BAD_INPUT, f"an input picture {error}"), ()
    except MissingExtra as error:
        return _failed(FailureCode.BACKEND_REJECTED, str(error)), ()
    except MemoryError:
        return _failed(FailureCode.OUT_OF_MEMORY, "the page work needs more memory than it may use"), ()
    except Exception as error:  # noqa: BLE001 - the server logs it
        return {"bug": _trace(error, is_private=bool(head["private"]))}, ()
    finally:
        REPORTER.reset(token)


def _packed(result: object) -> _Answer:
    if not isinstance(result, PageResult):
        raise TypeError(f"page work returned a {type(result).__name__} instead of a PageResult")
    head = {
        "types": [file.media_type for file in result.files],
        "values": json.loads(json.dumps(dict(result.values), allow_nan=False)),
    }
    return head, [file.data for file in result.files]


def _failed(
    code: FailureCode, message: str, *, after_s: float | None = None, counts: bool = True
) -> dict[str, Any]:
    return {"failed": [code.value, message, after_s, counts]}


def _trace(error: Exception, *, is_private: bool) -> str:
    """Return the traceback; of private work without the error's message, which may quote its input."""
    lines = (
        [*traceback.format_tb(error.__traceback__), type(error).__name__]
        if is_private
        else traceback.format_exception(error)
    )
    return "".join(lines)[-_LONGEST_TRACE:]


def _leave_network() -> None:
    """Go into a network of its own without any device, where the system allows it: photos stay here."""
    if sys.platform != "linux":
        return
    # Root keeps its user, as files of others are closed to it in a user namespace.
    wanted = _NEW_NETWORK if os.geteuid() == 0 else _NEW_USER | _NEW_NETWORK
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).unshare(wanted)


def _end_with(parent: int, folder: str) -> None:
    """End this process and delete its files when its parent has ended, even in the middle of work."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def main() -> None:
    memory_bytes, nice, parent = map(int, sys.argv[1:4])
    idle_s = float(sys.argv[4])
    sys.path[:] = json.loads(sys.argv[5])
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the messages
    confine(memory_bytes, _OPEN_FILES, _FILE_BYTES)
    os.nice(nice)
    _leave_network()
    threading.Thread(target=_end_with, args=(parent, os.environ["TMPDIR"]), daemon=True).start()
    while select.select([requests], [], [], idle_s)[0]:
        request = channel.read(requests, sys.maxsize)
        if request is None:
            break
        head, files = request
        extend_cpu_time(int(head["seconds"]) * (os.cpu_count() or 1))
        answer, made = _run(head, files, answers)
        del request, files
        channel.write(answers, {"answer": answer}, made)
        del made


if __name__ == "__main__":
    main()
