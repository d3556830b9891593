from collections.abc import Iterator

import pytest

from tests.cli.programs import Program, running


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """`imagemill serve` in a process of its own, for every test that asks a server."""
    folder = tmp_path_factory.mktemp("served")
    with running("serve", "--port", "0", cwd=folder, IMAGEMILL_JOB__RETRY_BASE_S="0.01") as program:
        assert program.url
        yield program
