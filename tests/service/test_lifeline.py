"""Dead processes are known at once."""

import signal
import subprocess
import sys
from pathlib import Path

from imagemill.jobs.leadership import ProcessLock

CHILD = """
import sys
from pathlib import Path
from imagemill.jobs.leadership import ProcessLock
process_lock = ProcessLock(Path(sys.argv[1]))
print(process_lock.worker, flush=True)
sys.stdin.read()
process_lock.close()
"""


def spawn(folder: Path) -> tuple["subprocess.Popen[str]", str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_a_killed_process_is_dead_at_once_and_a_living_one_is_not(tmp_path: Path):
    process_lock = ProcessLock(tmp_path)
    killed, killed_worker = spawn(tmp_path)
    living, living_worker = spawn(tmp_path)
    assert process_lock.dead_processes([killed_worker, living_worker]) == ()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert process_lock.dead_processes([killed_worker, living_worker, process_lock.worker]) == (
        killed_worker,
    )
    assert process_lock.dead_processes([killed_worker]) == (killed_worker,)
    living.communicate("")
    assert process_lock.dead_processes([living_worker]) == (living_worker,)
    process_lock.close()


def test_a_process_is_alive_to_itself_and_dead_once_closed(tmp_path: Path):
    mine, other = ProcessLock(tmp_path), ProcessLock(tmp_path)
    assert mine.worker != other.worker
    assert mine.dead_processes([mine.worker, other.worker]) == ()
    other.close()
    assert mine.dead_processes([other.worker]) == (other.worker,)
    mine.close()


def test_workers_of_another_machine_are_never_called_dead(tmp_path: Path):
    here, there = ProcessLock(tmp_path / "here"), ProcessLock(tmp_path / "there")
    there.close()
    assert here.dead_processes([there.worker, "worker", "", "../../etc/passwd"]) == ()
    here.close()


def test_a_machine_keeps_its_name(tmp_path: Path):
    first = ProcessLock(tmp_path)
    second = ProcessLock(tmp_path)
    assert first.worker.split("-")[0] == second.worker.split("-")[0]
    first.close()
    second.close()


def test_a_closed_lifeline_leaves_no_file_but_the_machine_s_name(tmp_path: Path):
    process_lock = ProcessLock(tmp_path)
    process_lock.close()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
