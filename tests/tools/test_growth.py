"""The benchmark of growth: each of its operations works, on a small database."""

from pathlib import Path

from benchmarks import growth
from benchmarks.large_tables import Size


def test_each_operation_works(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'imagemill.db'}"
    growth.make_database(url, Size(2_000, 400))
    subject = growth.open_subject(url, tmp_path)
    waiting = len(subject.waiting)
    for operation in growth.operations():
        operation.prepare(subject)
        operation.act(subject)
    # The job that was claimed has ended, one was cancelled, and one has another priority.
    assert not subject.claims
    assert len(subject.waiting) <= waiting - 2
    subject.stores.close()
