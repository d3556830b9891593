"""Books at once on a server that is killed: each page once, each book complete."""

from pathlib import Path

import pytest

from tests.books.proof_books import prove


@pytest.mark.timeout(400)
def test_books_on_a_server_that_is_killed_have_each_page_once(tmp_path: Path):
    proof = prove(tmp_path, f"sqlite:///{tmp_path / 'proof.db'}", books=2, kills=1)
    assert proof.twice == []
    assert proof.states == {"completed": 2}, proof.problems
    assert proof.kills == 1
