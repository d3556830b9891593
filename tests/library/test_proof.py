"""Nothing twice and nothing lost, though renders fail and the server is killed."""

from pathlib import Path

import pytest

from tests.library.proof import prove


@pytest.mark.timeout(240)
def test_a_batch_that_is_killed_twice_and_ordered_again_has_each_cell_once(tmp_path: Path):
    proof = prove(tmp_path, {"gender": "female", "style": "casual"}, f"sqlite:///{tmp_path / 'proof.db'}")
    assert len(proof.templates) == proof.cells == 48
    assert proof.versions == [1] * 48
    assert proof.jobs["succeeded"] == 48, "a cell was paid for twice"
    assert set(proof.jobs) <= {"succeeded", "failed"}
    assert proof.lost_files == 0
    assert proof.claims > 48, "nothing failed and nothing was killed: this proves little"
