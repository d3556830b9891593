"""Blobs in a local folder: the contract of every store, and what is a folder's own."""

import threading
from pathlib import Path

import pytest

from imagemill.blobs.base import BlobStore
from imagemill.blobs.local import LocalBlobs
from imagemill.domain.errors import Conflict, NotFound, StorageError
from tests.blobs.contract import JOB, OTHER, BlobStoreContract, key


class TestLocalBlobs(BlobStoreContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> BlobStore:
        return LocalBlobs(tmp_path / "blobs")


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_what_one_store_wrote_the_next_one_reads(tmp_path: Path) -> None:
    LocalBlobs(tmp_path).put(key(), b"kept", "image/png")

    assert LocalBlobs(tmp_path).get(key()) == b"kept"


def test_jobs_are_spread_over_folders_by_the_end_of_their_ids(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    blobs.put(key(), b"x", "image/png")
    blobs.put(key(OTHER), b"x", "image/png")

    assert files(tmp_path) == [f"jobs/a1/{JOB}_1_0.png", f"jobs/b2/{OTHER}_1_0.png"]


def test_nothing_but_the_blob_is_left_behind(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    for _ in range(3):
        blobs.put(key(), b"x" * 100, "image/png")

    assert len(files(tmp_path)) == 1


def test_a_put_survives_a_delete_in_its_folder_in_the_same_moment(tmp_path: Path) -> None:
    """Jobs share folders: the last old file of one may go while the first new one is being written."""
    blobs = LocalBlobs(tmp_path, fsync=False)
    done = threading.Event()

    def delete() -> None:
        while not done.is_set():
            blobs.delete([key(position=1)])

    deleter = threading.Thread(target=delete)
    deleter.start()
    try:
        for _ in range(300):
            blobs.put(key(position=0), b"x", "image/png")
            blobs.delete([key(position=0)])
    finally:
        done.set()
        deleter.join()

    assert files(tmp_path) == []


def test_a_folder_that_became_a_file_is_an_error_of_the_storage(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    (tmp_path / "blobs").rmdir()
    (tmp_path / "blobs").write_text("not a folder")

    with pytest.raises(StorageError):
        blobs.put(key(), b"x", "image/png")
    with pytest.raises((StorageError, NotFound)):
        blobs.get(key())


def test_a_folder_in_a_blob_s_place_is_an_error_of_the_storage(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    (tmp_path / "inputs" / "x.png").mkdir(parents=True)

    for act in (
        lambda: blobs.put("inputs/x.png", b"x", "image/png"),
        lambda: blobs.create("inputs/x.png", b"x", "image/png"),
        lambda: blobs.get("inputs/x.png"),
        lambda: blobs.read("inputs/x.png", 0, 1),
        lambda: blobs.delete(["inputs/x.png"]),
    ):
        with pytest.raises(StorageError):
            act()


def test_a_folder_nobody_may_read_is_not_an_empty_one(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    (tmp_path / "inputs").write_text("not a folder")

    with pytest.raises(StorageError):
        list(blobs.list("inputs/"))


def test_what_was_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    blobs.create(key(), b"first", "image/png")
    with pytest.raises(Conflict):
        blobs.create(key(), b"other", "image/png")

    assert len(files(tmp_path)) == 1


def test_a_store_whose_folder_is_gone_does_not_answer_a_ping(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    (tmp_path / "blobs").rmdir()

    with pytest.raises(StorageError):
        blobs.ping()


def test_other_files_in_the_folder_do_not_break_a_list(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    blobs.put(key(), b"x", "image/png")
    (tmp_path / "jobs" / "notes.txt").write_text("a person was here")

    assert key() in {blob.key for blob in blobs.list("jobs/")}
