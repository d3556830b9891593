"""Books on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import databases
from tests.books.support import BookRig, opened_rig


@pytest.fixture(params=("sqlite", "postgres"))
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BookRig]:
    if request.param == "postgres":
        url = request.getfixturevalue("kept_postgres_url")
    else:
        url = databases.sqlite_database(tmp_path / "data" / "imagemill.db")
    with opened_rig(tmp_path, url) as rig:
        yield rig
