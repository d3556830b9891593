"""What every blob store does, as a suite: a subclass says how to build one."""

import threading
import urllib.request

import pytest

from imagemill.blobs.base import BlobStore, NewBlob
from imagemill.domain.errors import Conflict, NotFound, StorageError

JOB = "019abcde-0000-7000-8000-0000000000a1"
OTHER = "019abcde-0000-7000-8000-0000000000b2"


def key(job: str = JOB, attempt: int = 1, position: int = 0) -> str:
    return f"jobs/{job}/{attempt}/{position}.png"


class BlobStoreContract:
    @pytest.fixture
    def blobs(self) -> BlobStore:
        pytest.fail("a subclass overrides this fixture with the store it holds to the contract")

    def test_what_was_put_is_got(self, blobs: BlobStore) -> None:
        blobs.put(key(), b"\0\xff" * 1000, "image/png")

        assert blobs.get(key()) == b"\0\xff" * 1000

    def test_an_empty_blob_is_kept(self, blobs: BlobStore) -> None:
        blobs.put(key(), b"", "image/png")

        assert blobs.get(key()) == b""

    def test_a_second_put_replaces_the_first(self, blobs: BlobStore) -> None:
        blobs.put(key(), b"a long first text", "image/png")
        blobs.put(key(), b"short", "image/png")

        assert blobs.get(key()) == b"short"
        assert [blob.size for blob in blobs.list(f"jobs/{JOB}/")] == [5]

    def test_several_are_created_together(self, blobs: BlobStore) -> None:
        written = [NewBlob(key(job, 1, position), bytes([position]) * 500, "image/png")
                   for job in (JOB, OTHER) for position in range(3)]  # fmt: skip
        blobs.create_all(written)
        blobs.create_all([*written, NewBlob(key(JOB, 2), b"another", "image/png")])

        assert {each.key: blobs.get(each.key) for each in written} == {
            each.key: each.data for each in written
        }
        assert blobs.get(key(JOB, 2)) == b"another"

    def test_of_several_none_replaces_another_blob(self, blobs: BlobStore) -> None:
        blobs.create(key(JOB), b"first", "image/png")

        with pytest.raises(Conflict):
            blobs.create_all(
                [NewBlob(key(OTHER), b"new", "image/png"), NewBlob(key(JOB), b"second", "image/png")]
            )
        assert blobs.get(key(JOB)) == b"first"

    def test_creating_none_writes_none(self, blobs: BlobStore) -> None:
        blobs.create_all([])

        assert list(blobs.list("jobs/")) == []

    def test_an_absent_blob_is_not_found(self, blobs: BlobStore) -> None:
        with pytest.raises(NotFound):
            blobs.get(key())

    def test_readers_see_the_old_or_the_new_and_never_a_part(self, blobs: BlobStore) -> None:
        versions = [bytes([number]) * 300_000 for number in range(2)]
        blobs.put(key(), versions[0], "image/png")
        done = threading.Event()
        seen: list[bytes] = []

        def read() -> None:
            while not done.is_set():
                seen.append(blobs.get(key()))

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(40):
            blobs.put(key(), versions[number % 2], "image/png")
        done.set()
        reader.join()

        assert seen
        assert set(seen) <= set(versions)

    def test_writers_of_one_key_leave_one_whole_blob(self, blobs: BlobStore) -> None:
        versions = [bytes([number]) * 200_000 for number in range(6)]
        failed: list[Exception] = []

        def write(data: bytes) -> None:
            try:
                for _ in range(10):
                    blobs.put(key(), data, "image/png")
            except Exception as error:  # noqa: BLE001 - shown by the assertion
                failed.append(error)

        writers = [threading.Thread(target=write, args=(data,)) for data in versions]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        assert not failed
        assert blobs.get(key()) in versions

    def test_a_created_blob_is_got(self, blobs: BlobStore) -> None:
        blobs.create(key(), b"made", "image/png")

        assert blobs.get(key()) == b"made"
        assert [blob.key for blob in blobs.list("jobs/")] == [key()]

    def test_a_late_writer_does_not_replace_what_was_created(self, blobs: BlobStore) -> None:
        blobs.create(key(), b"first", "image/png")

        with pytest.raises(Conflict):
            blobs.create(key(), b"other", "image/png")
        assert blobs.get(key()) == b"first"
        assert [blob.size for blob in blobs.list("jobs/")] == [5]

    def test_the_same_bytes_are_created_twice_without_complaint(self, blobs: BlobStore) -> None:
        for _ in range(2):
            blobs.create(key(), b"same", "image/png")

        assert blobs.get(key()) == b"same"

    def test_a_key_may_be_created_again_after_a_delete(self, blobs: BlobStore) -> None:
        blobs.create(key(), b"first", "image/png")
        blobs.delete([key()])
        blobs.create(key(), b"second", "image/png")

        assert blobs.get(key()) == b"second"

    def test_of_many_who_create_one_key_one_wins(self, blobs: BlobStore) -> None:
        start = threading.Barrier(6)
        won: list[bytes] = []
        lost: list[bytes] = []

        def create(data: bytes) -> None:
            start.wait(10)
            try:
                blobs.create(key(), data, "image/png")
                won.append(data)
            except Conflict:
                lost.append(data)

        writers = [threading.Thread(target=create, args=(bytes([n]) * 100_000,)) for n in range(6)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        assert (len(won), len(lost)) == (1, 5)
        assert blobs.get(key()) == won[0]

    @pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 10), (3, 7), (9, 10)])
    def test_a_part_is_read(self, blobs: BlobStore, start: int, stop: int) -> None:
        blobs.put(key(), b"0123456789", "image/png")

        assert blobs.read(key(), start, stop) == b"0123456789"[start:stop]

    def test_a_part_of_an_absent_blob_is_not_found(self, blobs: BlobStore) -> None:
        with pytest.raises(NotFound):
            blobs.read(key(), 0, 1)

    def test_a_presigned_url_opens_the_blob_or_there_is_none(self, blobs: BlobStore) -> None:
        blobs.put(key(), b"signed", "image/png")
        url = blobs.presign("GET", key(), 60)

        assert url is None or urllib.request.urlopen(url, timeout=10).read() == b"signed"

    def test_a_list_names_everything_below_its_prefix_and_nothing_else(self, blobs: BlobStore) -> None:
        for position in range(3):
            blobs.put(key(position=position), b"x" * position, "image/png")
        blobs.put(key(OTHER), b"other", "image/png")

        listed = {blob.key: blob.size for blob in blobs.list(f"jobs/{JOB}/")}

        assert listed == {key(position=position): position for position in range(3)}
        assert {blob.key for blob in blobs.list("jobs/")} == {*listed, key(OTHER)}

    def test_a_list_below_an_absent_prefix_is_empty(self, blobs: BlobStore) -> None:
        assert list(blobs.list(f"jobs/{JOB}/")) == []
        assert list(blobs.list("jobs/")) == []

    def test_a_listed_blob_tells_when_it_was_written(self, blobs: BlobStore) -> None:
        blobs.put(key(), b"x", "image/png")
        (blob,) = blobs.list("jobs/")

        assert blob.modified_at > 1_700_000_000 * 1_000_000

    def test_a_deleted_blob_is_gone_and_its_neighbours_are_not(self, blobs: BlobStore) -> None:
        keys = [key(position=position) for position in range(3)]
        for each in keys:
            blobs.put(each, b"x", "image/png")

        blobs.delete(keys[:2])

        assert [blob.key for blob in blobs.list("jobs/")] == keys[2:]
        with pytest.raises(NotFound):
            blobs.get(keys[0])

    def test_absent_blobs_are_deleted_without_complaint(self, blobs: BlobStore) -> None:
        blobs.delete([key(), key(OTHER)])
        blobs.delete([])

        assert list(blobs.list("jobs/")) == []

    def test_a_key_may_be_used_again_after_a_delete(self, blobs: BlobStore) -> None:
        blobs.put(key(), b"first", "image/png")
        blobs.delete([key()])
        blobs.put(key(), b"second", "image/png")

        assert blobs.get(key()) == b"second"

    @pytest.mark.parametrize(
        "bad",
        [
            "",
            "..",
            "../secret",
            "jobs/../../secret",
            "jobs/./x",
            "/etc/passwd",
            "jobs/a\0b",
            "jobs/a b",
            "jobs/ä",
            "jobs\\x",
            "jobs/x\n",
            "jobs/" + "x" * 300,
        ],
    )
    def test_a_key_that_is_not_ours_is_refused(self, blobs: BlobStore, bad: str) -> None:
        with pytest.raises(StorageError):
            blobs.put(bad, b"x", "image/png")
        with pytest.raises(StorageError):
            blobs.get(bad)
        with pytest.raises(StorageError):
            blobs.delete([bad])
        with pytest.raises(StorageError):
            blobs.create(bad, b"x", "image/png")
        with pytest.raises(StorageError):
            blobs.read(bad, 0, 1)
        with pytest.raises(StorageError):
            blobs.location(bad)
        with pytest.raises(StorageError):
            blobs.presign("GET", bad, 60)

    def test_a_location_is_a_file_with_the_blob_or_nothing(self, blobs: BlobStore) -> None:
        assert blobs.location(key()) is None
        blobs.put(key(), b"here", "image/png")
        location = blobs.location(key())

        assert location is None or location.read_bytes() == b"here"

    def test_a_store_that_works_answers_a_ping(self, blobs: BlobStore) -> None:
        assert blobs.ping() is None
