"""Books at once on a server that is killed: each page once, each book complete."""

from pathlib import Path

import pytest

from tests.books.proof_books import prove
from tests.databases import sqlite_database

QUICK = {"imagemill.backends.press.pool:_NICE": 0}
"""Of niceness 10 a page takes minutes on a busy machine."""


@pytest.mark.timeout(400)
def test_books_on_a_server_that_is_killed_have_each_page_once(tmp_path: Path):
    database = sqlite_database(tmp_path / "proof.db")
    proof = prove(tmp_path, database, books=2, kills=1, constants=QUICK, IMAGEMILL_PRESS__SLOTS="1")
    assert proof.twice == []
    assert proof.states == {"completed": 2}, proof.problems
    assert proof.kills == 1
