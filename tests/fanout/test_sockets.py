"""Processes of one machine that hear each other over sockets in the data folder."""

import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from imagemill.domain.events import Notice
from imagemill.jobs.leadership import ProcessLock
from imagemill.pubsub.base import ClusterEvent
from imagemill.pubsub.peer_link import FrameKind, frame
from imagemill.pubsub.sockets import SocketPubSub, Wishes, short_path
from tests.fanout.test_fanout import Listener
from tests.service.build import wait_until

WAKE = ClusterEvent(queues_with_work=("gpu",))

PROCESS = """
import asyncio, sys
from pathlib import Path
from imagemill.jobs.leadership import ProcessLock
from imagemill.pubsub.base import ClusterEvent, EventHandlers
from imagemill.pubsub.sockets import SocketPubSub, short_path

lock = ProcessLock(Path(sys.argv[1]))
sockets = Path(sys.argv[1], "sockets")
pubsub = SocketPubSub(sockets, lock.worker, lock.is_dead)
answer = lambda event: pubsub.publish([ClusterEvent(has_deliveries=True)])
handlers = EventHandlers(answer, lambda *_: None, lambda: print("looks", flush=True))
asyncio.run(pubsub.listen(handlers))
"""
"""Prints when it looks for what it has missed, and answers events."""


class Make(Protocol):
    def __call__(
        self,
        run: Path,
        *,
        is_connected: bool = True,
        wishes: Wishes = Wishes(),
    ) -> Listener: ...


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[tuple[Listener, ProcessLock]] = []

    def make(run: Path, *, is_connected: bool = True, wishes: Wishes = Wishes()) -> Listener:
        lock = ProcessLock(run)
        listener = Listener(
            SocketPubSub(run / "sockets", lock.worker, lock.is_dead, wishes=wishes, check_s=0.05)
        )
        made.append((listener, lock))
        listener.listening.start()
        if is_connected:
            wait_until(lambda: listener.pubsub.is_connected)
        return listener

    yield make
    for listener, lock in made:
        listener.close()
        lock.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path)], stdout=subprocess.PIPE)
    yield started
    started.kill()
    started.communicate()


def sockets(run: Path) -> list[Path]:
    return sorted((run / "sockets").glob("*.sock"))


def converse(one: Listener) -> None:
    """Publish until the other process has answered."""

    def answered() -> bool:
        one.pubsub.publish([WAKE])
        return bool(one.heard)

    wait_until(answered)


def test_a_killed_process_is_forgotten_at_once_and_the_others_look_for_what_it_did(
    tmp_path: Path, make: Make, process: subprocess.Popen[bytes]
):
    one, two = make(tmp_path), make(tmp_path)
    converse(one)
    wait_until(lambda: two.pubsub.is_connected)
    begun = one.begun, two.begun
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: one.begun > begun[0] and two.begun > begun[1])
    wait_until(lambda: len(sockets(tmp_path)) == 2 and one.pubsub.is_connected and two.pubsub.is_connected)
    two.heard.clear()
    one.pubsub.publish([WAKE])
    wait_until(lambda: two.heard)
    assert two.heard == [WAKE]


def test_a_stopped_process_is_cut_off_and_looks_again_once_it_continues(
    tmp_path: Path, make: Make, process: subprocess.Popen[bytes]
):
    one = make(tmp_path)
    converse(one)  # it has looked twice: when it began and when it had subscribed
    process.send_signal(signal.SIGSTOP)
    many = [ClusterEvent((Notice("0198f0f0-0000-7000-8000-000000000000", n, False),)) for n in range(2000)]
    for _ in range(30):  # 5 MB
        one.pubsub.publish(many)
    process.send_signal(signal.SIGCONT)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(4)] == [b"looks\n"] * 4
    one.heard.clear()
    converse(one)


def test_the_socket_of_a_process_that_was_killed_is_removed(tmp_path: Path, make: Make):
    stale = tmp_path / "sockets" / "of-another-site.sock"
    stale.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(stale))
    one, two = make(tmp_path), make(tmp_path)
    one.pubsub.publish([WAKE])
    wait_until(lambda: two.heard)
    assert not stale.exists()


def test_a_socket_that_was_deleted_or_could_not_be_made_is_made_later(tmp_path: Path, make: Make):
    folder = tmp_path / "sockets"
    folder.write_text("in the way")
    one = make(tmp_path, is_connected=False)
    assert not one.pubsub.is_connected
    folder.unlink()
    wait_until(lambda: one.pubsub.is_connected)
    sockets(tmp_path)[0].unlink()
    wait_until(lambda: sockets(tmp_path))
    two = make(tmp_path)
    two.pubsub.publish([WAKE])
    wait_until(lambda: one.heard == [WAKE])


def test_a_data_folder_may_have_a_long_path(tmp_path: Path, make: Make):
    run = tmp_path / ("a" * 100) / ("b" * 100)
    one, two = make(run), make(run)
    one.pubsub.publish([WAKE])
    wait_until(lambda: two.heard)
    assert len(sockets(run)) == 2


def test_processes_of_two_data_folders_do_not_hear_each_other(tmp_path: Path, make: Make):
    one, two, other = make(tmp_path / "a"), make(tmp_path / "a"), make(tmp_path / "b")
    one.pubsub.publish([WAKE])
    wait_until(lambda: two.heard)
    assert not other.heard


def test_only_the_user_of_the_process_may_connect(tmp_path: Path, make: Make):
    (tmp_path / "sockets").mkdir(mode=0o755)
    make(tmp_path)
    assert stat.S_IMODE((tmp_path / "sockets").stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in sockets(tmp_path)] == [0o600]


def test_a_process_that_ends_removes_its_socket_and_its_last_events_arrive(tmp_path: Path, make: Make):
    one, two = make(tmp_path), make(tmp_path)
    one.listening.close()
    assert len(sockets(tmp_path)) == 1
    one.pubsub.publish([WAKE])
    wait_until(lambda: two.heard)
    assert two.pubsub.is_connected


def test_wake_ups_go_to_processes_with_slots_only(tmp_path: Path, make: Make):
    worker, scheduler = make(tmp_path), make(tmp_path, wishes=Wishes(False, False))
    api = make(tmp_path)
    api.pubsub.publish([WAKE])
    api.pubsub.publish([ClusterEvent(has_deliveries=True)])
    wait_until(lambda: scheduler.heard and any(event.has_deliveries for event in worker.heard))
    assert worker.heard[0].queues_with_work == ("gpu",)
    assert scheduler.heard == [ClusterEvent(has_deliveries=True)]


def test_a_message_that_cannot_be_read_or_is_of_another_version_is_passed_over(tmp_path: Path, make: Make):
    one = make(tmp_path)
    with socket.socket(socket.AF_UNIX) as client:
        with short_path(sockets(tmp_path)[0]) as path:
            client.connect(path)
        client.sendall(b"".join(_packed(kind, body) for kind, body in ((1, b"no JSON"), (99, b"new"))))
        client.sendall(frame(FrameKind.HELLO, b'{"name": "gone", "events": false, "work": true}'))
        assert client.recv(5) == frame(FrameKind.WELCOME)
        one.pubsub.publish([WAKE])
        assert b'"woken":["gpu"]' in client.recv(1000)
    wait_until(lambda: one.pubsub.is_connected)


def _packed(kind: int, body: bytes) -> bytes:
    return len(body).to_bytes(4) + bytes([kind]) + body
