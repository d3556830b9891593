"""The journal of small files: what it keeps, for how long, and what a later process makes of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from imagemill.blobs import journal as journal_module
from imagemill.blobs import local as local_module
from imagemill.blobs.base import BlobStore, NewBlob
from imagemill.blobs.journal import Journal, recover
from imagemill.blobs.local import LocalBlobs
from imagemill.domain.durability import FileSystem
from tests.blobs.contract import JOB, OTHER, BlobStoreContract, key

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="files cannot be locked as journals need it")

SIZE = 64 * 1024
FOLDER = ".journals"
_WRITER = """
import os, signal, sys, time
from pathlib import Path
from imagemill.blobs.base import NewBlob
from imagemill.blobs.journal import Journal
from imagemill.blobs.local import LocalBlobs

Journal.__init__.__kwdefaults__["age_s"] = 1000
root, *given = sys.argv[1:]
blobs = LocalBlobs(Path(root))
blobs.create_all([NewBlob(f"jobs/warm/1/{n}.png", b"x", "image/png") for n in range(2)])
while not blobs._journal._free:
    time.sleep(0.01)
pairs = zip(given[::2], given[1::2], strict=True)
blobs.create_all([NewBlob(key, data.encode(), "image/png") for key, data in pairs])
os.kill(os.getpid(), signal.SIGKILL)
"""


def pngs(*names: str) -> list[NewBlob]:
    return [NewBlob(key(name), f"picture of {name}".encode() * 50, "image/png") for name in names]


def killed_writer(root: Path, **written: str) -> None:
    """Write blobs in a process that is killed before their files are flushed."""
    arguments = [part for name, data in written.items() for part in (key(name), data)]
    done = subprocess.run([sys.executable, "-c", _WRITER, root, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL


def journals(root: Path) -> list[Path]:
    return sorted((root / FOLDER).glob("*.journal"))


def wait_for(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_made(journal: Journal) -> bool:
    """Whether both of its files are there, whole, and empty."""
    return len(journal._free) == 2


def with_journal(root: Path) -> LocalBlobs:
    """A store whose journal is made."""
    blobs = LocalBlobs(root)
    blobs.create_all(pngs("warm-1", "warm-2"))
    journal = blobs._journal
    assert journal is not None
    wait_for(lambda: is_made(journal))
    blobs.delete([key("warm-1"), key("warm-2")])
    return blobs


class TestLocalBlobsWithJournal(BlobStoreContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Iterator[BlobStore]:
        blobs = with_journal(tmp_path / "blobs")
        yield blobs
        blobs.close()


# What a later process makes of it


def test_a_file_that_the_disk_has_lost_is_written_again(tmp_path: Path) -> None:
    killed_writer(tmp_path, **{JOB: "first", OTHER: "second"})
    first, second = (LocalBlobs(tmp_path, fsync=False).location(key(name)) for name in (JOB, OTHER))
    assert first is not None
    assert second is not None
    first.unlink()
    second.write_bytes(b"se\0\0\0\0")

    blobs = LocalBlobs(tmp_path)

    assert blobs.get(key(JOB)) == b"first"
    assert blobs.get(key(OTHER)) == b"second"
    assert journals(tmp_path) == []


def test_a_record_that_was_cut_is_left_out_and_those_before_it_are_not(tmp_path: Path) -> None:
    killed_writer(tmp_path, **{JOB: "first", OTHER: "second"})
    for name in (JOB, OTHER):
        found = LocalBlobs(tmp_path, fsync=False).location(key(name))
        assert found is not None
        found.unlink()
    (written,) = [each for each in journals(tmp_path) if b"second" in each.read_bytes()]
    written.write_bytes(written.read_bytes().replace(b"second", b"sec\0\0\0"))

    blobs = LocalBlobs(tmp_path)

    assert [each.key for each in blobs.list(f"jobs/{JOB}/")] == [key(JOB)]
    assert list(blobs.list(f"jobs/{OTHER}/")) == []


def test_the_journal_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    blobs = with_journal(tmp_path)
    blobs.create_all(pngs(JOB, OTHER))
    before = journals(tmp_path)

    other = LocalBlobs(tmp_path)

    assert journals(tmp_path) == before
    assert other.get(key(JOB)) == blobs.get(key(JOB))
    blobs.close()


def test_what_was_deleted_once_its_files_were_flushed_stays_deleted(tmp_path: Path) -> None:
    blobs = with_journal(tmp_path)
    blobs.create_all(pngs(JOB, OTHER))
    blobs.close()
    blobs.delete([key(JOB)])

    assert [each.key for each in LocalBlobs(tmp_path).list("jobs/")] == [key(OTHER)]


def test_a_journal_that_cannot_be_read_is_an_error_of_the_storage(tmp_path: Path) -> None:
    (tmp_path / FOLDER / "1.journal").mkdir(parents=True)

    with pytest.raises(local_module.StorageError):
        LocalBlobs(tmp_path)


# What it keeps, and for how long


def test_a_lone_file_needs_no_journal(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    blobs.create_all(pngs(JOB))
    blobs.create(key(OTHER), b"x", "image/png")

    assert not (tmp_path / FOLDER).exists()


def test_lone_files_that_come_often_get_a_journal(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    for number in range(journal_module._MANY - 1):
        blobs.create_all(pngs(f"lone-{number}"))
    assert not (tmp_path / FOLDER).exists()

    blobs.create_all(pngs("one-more"))
    wait_for(lambda: len(journals(tmp_path)) == 2)
    blobs.close()


def test_lone_files_that_come_seldom_get_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_OFTEN_S", 0.0)
    blobs = LocalBlobs(tmp_path)
    for number in range(2 * journal_module._MANY):
        blobs.create_all(pngs(f"lone-{number}"))

    assert not (tmp_path / FOLDER).exists()


def test_a_large_file_is_flushed_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = with_journal(tmp_path)
    flushed = flushed_files(monkeypatch)
    large = NewBlob(key(), bytes(journal_module.MOST_BYTES + 1), "image/png")
    blobs.create_all([large, *pngs(OTHER)])

    assert len(flushed) == 2, "the file and its folder"
    blobs.close()


def test_the_file_system_that_is_flushed_is_that_of_the_files(tmp_path: Path) -> None:
    """The folder of jobs may be on another disk than the journal."""
    other = tmp_path / "disk"
    other.mkdir()
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "jobs").symlink_to(other)
    blobs = with_journal(tmp_path / "blobs")
    file_system = blobs._file_system
    assert file_system is not None

    assert os.path.samestat(os.fstat(file_system._descriptor), other.stat())
    blobs.close()


def test_what_may_be_replaced_is_not_in_the_journal(tmp_path: Path) -> None:
    blobs = with_journal(tmp_path)
    blobs.create_all([NewBlob(f"inputs/{name}.png", b"picture of a person", "image/png") for name in "ab"])

    assert not any(b"picture of" in each.read_bytes() for each in journals(tmp_path))
    blobs.close()


def flushed_files(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The descriptors of files and folders that are flushed by themselves from now on."""
    flushed: list[int] = []
    monkeypatch.setattr(local_module, "flush_file", flushed.append)
    monkeypatch.setattr(local_module, "flush_folder", lambda folder: flushed.append(0))
    return flushed


def test_small_files_are_not_flushed_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = with_journal(tmp_path)
    flushed = flushed_files(monkeypatch)

    blobs.create_all(pngs(JOB, OTHER))
    blobs.create_all(pngs("lone"))

    assert flushed == []
    blobs.close()


def test_no_picture_outlives_its_deletion_in_the_journal(tmp_path: Path) -> None:
    blobs = with_journal(tmp_path)
    blobs.create_all(pngs(JOB, OTHER))
    assert any(b"picture of" in each.read_bytes() for each in journals(tmp_path))

    wait_for(lambda: all(not any(each.read_bytes()) for each in journals(tmp_path)))
    blobs.close()


def test_a_store_that_is_closed_leaves_no_journal_and_still_writes(tmp_path: Path) -> None:
    blobs = with_journal(tmp_path)
    blobs.create_all(pngs(JOB))
    blobs.close()
    blobs.close()

    assert journals(tmp_path) == []
    blobs.create_all(pngs(OTHER, "later"))
    assert blobs.get(key("later")) == pngs("later")[0].data


def test_a_blob_that_is_replaced_is_not_the_former_one_after_a_power_loss(tmp_path: Path) -> None:
    blobs = with_journal(tmp_path)
    blobs.create_all(pngs(JOB, OTHER))

    blobs.put(key(JOB), b"another", "image/png")

    assert not any(b"picture of" in each.read_bytes() for each in journals(tmp_path))
    blobs.close()


def test_a_forked_process_does_not_write_to_the_journal_of_its_parent(tmp_path: Path) -> None:
    blobs = with_journal(tmp_path)
    contents = [each.read_bytes() for each in journals(tmp_path)]
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            blobs.create_all(pngs(JOB, OTHER))
            blobs.close()
            os._exit(0)
        os._exit(1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [each.read_bytes() for each in journals(tmp_path)] == contents
    assert blobs.get(key(JOB)) == pngs(JOB)[0].data
    blobs.close()


# When the disk fails, or is slow


class Disk:
    """Flushes of files that a test may hold up or refuse."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.flushed: list[list[Path]] = []
        self.restored: list[str] = []
        self.error: OSError | None = None

    def restore(self, key: str, data: bytes) -> Path:
        self.restored.append(key)
        return self.folder / key.split("/")[1]

    def flush(self, paths: Sequence[Path]) -> None:
        if self.error is not None:
            raise self.error
        self.flushed.append([*paths])


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@pytest.fixture
def ready(tmp_path: Path, disk: Disk) -> Iterator[Journal]:
    """A journal that is made, and empties itself only when it is full."""
    made = Journal(tmp_path, disk.restore, disk.flush, size=SIZE, age_s=1000)
    entry = (key(), b"x", tmp_path / "x")
    wait_for(lambda: made.append([entry, entry]))
    made.settle()
    wait_for(lambda: is_made(made))
    disk.flushed.clear()
    yield made
    made.close()


def entry(name: str, size: int = 20_000) -> tuple[str, bytes, Path]:
    return key(name), name.encode() * (size // len(name)), Path(name)


def test_nothing_is_written_to_a_journal_that_is_closed_meanwhile(
    ready: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers of its files may be those of others by then."""
    checksum = journal_module._record

    def close_first(key: str, data: bytes) -> tuple[bytes, bytes, bytes]:
        ready.close()
        return checksum(key, data)

    written: list[object] = []
    monkeypatch.setattr(journal_module, "_record", close_first)
    monkeypatch.setattr(journal_module, "_write_at", lambda *given: written.append(given))

    assert not ready.append([entry("late")])
    assert written == []


def test_a_full_journal_is_emptied_while_another_is_written_to(ready: Journal, disk: Disk) -> None:
    for number in range(9):
        wait_for(lambda number=number: ready.append([entry(f"job-{number}")]))

    wait_for(lambda: len(disk.flushed) == 2)
    assert disk.flushed == [
        [Path(f"job-{number}") for number in numbers] for numbers in ((0, 1, 2), (3, 4, 5))
    ]


def test_more_than_the_disk_can_take_is_for_the_caller_to_flush(ready: Journal, disk: Disk) -> None:
    disk.error = OSError(5, "Input/output error")

    assert [ready.append([entry(f"job-{number}")]) for number in range(8)] == [True] * 6 + [False] * 2
    disk.error = None


def test_records_whose_files_could_not_be_flushed_stay(ready: Journal, disk: Disk, tmp_path: Path) -> None:
    assert ready.append([entry("kept")])
    disk.error = OSError(5, "Input/output error")
    with pytest.raises(OSError, match="Input/output"):
        ready.settle()

    assert any(b"keptkept" in each.read_bytes() for each in tmp_path.glob("*.journal"))
    disk.error = None
    ready.settle()
    assert disk.flushed == [[Path("kept")]]


def test_files_that_could_not_be_flushed_are_written_again(tmp_path: Path) -> None:
    """The system drops bytes that it could not write, and reports it once."""
    blobs = with_journal(tmp_path)
    blobs.create_all(pngs(JOB, OTHER, "gone"))
    blobs.delete([key("gone")])
    lost = blobs.location(key(JOB))
    assert lost is not None
    lost.write_bytes(b"")
    flush, calls = FileSystem.flush, list[int]()

    def refuse_once(self: FileSystem) -> bool:
        calls.append(1)
        if len(calls) == 1:
            raise OSError(5, "Input/output error")
        return flush(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileSystem, "flush", refuse_once)
        blobs.close()

    assert blobs.get(key(JOB)) == pngs(JOB)[0].data
    assert sorted(each.key for each in blobs.list("jobs/")) == [key(JOB), key(OTHER)]
    assert journals(tmp_path) == []


def test_a_journal_that_cannot_be_flushed_is_given_up(
    ready: Journal, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    before = {*tmp_path.glob("*.journal")}
    assert ready.append([entry("before")])
    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "flush_data", refuse)
        assert not ready.append([entry("lost")])
    wait_for(lambda: disk.flushed == [[Path("before"), Path("lost")]])
    wait_for(lambda: len(before & {*tmp_path.glob("*.journal")}) == 1)
    assert ready.append([entry("after")]), "the other one is used"


def test_a_folder_without_room_leaves_the_flushes_to_the_caller(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    made = Journal(tmp_path, disk.restore, disk.flush, size=SIZE, age_s=0.01)
    tried = [made.append([entry("one", 100), entry("two", 100)]) for _ in range(3)]
    wait_for(lambda: not made._is_wanted)
    made.close()

    assert tried == [False] * 3
    assert list(tmp_path.glob("*.journal")) == []


def test_without_a_flush_of_the_file_system_each_file_is_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = with_journal(tmp_path)
    monkeypatch.setattr(FileSystem, "flush", lambda self: False)
    blobs.create_all(pngs(JOB, OTHER))
    flushed = flushed_files(monkeypatch)

    blobs.delete([key(OTHER)])
    blobs.close()

    # The file that is left, its folder, and that of the deleted one.
    assert len(flushed) == 3


def test_nothing_is_recovered_where_no_journal_was(tmp_path: Path, disk: Disk) -> None:
    recover(tmp_path / "absent", disk.restore, disk.flush)

    assert disk.restored == []
    assert not (tmp_path / "absent").exists()
