"""A test node of either release, and a client of it."""

from collections.abc import Iterator

import pytest

from tests.comfyui.client import Client
from tests.comfyui.node import NEW, OLD, TestNode


@pytest.fixture(params=[NEW, OLD])
def node(request: pytest.FixtureRequest) -> Iterator[TestNode]:
    with TestNode(request.param) as node:
        yield node
        assert not [
            trouble for trouble in node.troubles if "ServerTrouble" not in trouble and "JSON" not in trouble
        ]


@pytest.fixture
def new_node() -> Iterator[TestNode]:
    with TestNode(NEW) as node:
        yield node


@pytest.fixture
def client(node: TestNode) -> Iterator[Client]:
    with Client(node) as client:
        yield client


@pytest.fixture
def new_client(new_node: TestNode) -> Iterator[Client]:
    with Client(new_node) as client:
        yield client
