"""The address of the installation in messages that answer no request, such as results of Celery tasks."""

from typing import Any

import pytest

from imagemill.bootstrap import build
from imagemill.config import Settings


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, "http://127.0.0.1:8700"),
        ({"port": 9000}, "http://127.0.0.1:9000"),
        ({"host": "0.0.0.0", "port": 80}, "http://127.0.0.1:80"),
        ({"host": "10.0.0.5", "port": 8701}, "http://10.0.0.5:8701"),
        ({"host": "fd00::5"}, "http://[fd00::5]:8700"),
        ({"port": 9000, "public_url": "https://mill.example/"}, "https://mill.example"),
    ],
)
def test_the_address_is_the_public_one_or_that_of_host_and_port(given: dict[str, Any], address: str):
    assert build.address(Settings(_env_file=None, **given)) == address
