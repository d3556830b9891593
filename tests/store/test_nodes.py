"""The tables of nodes and of what is drained."""

from dataclasses import replace

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.db.database import WriteMode
from imagemill.domain.errors import Conflict, NotFound
from imagemill.domain.nodes import NodeConfig
from imagemill.nodes.store import Drain, PutNode
from tests.store.build import MINUTE, T0, in_threads

ATTIC = NodeConfig(
    name="attic",
    url="https://attic.example:8188/comfy",
    labels=frozenset({"big", "flux"}),
    memory_mb=24_000,
    slots=3,
    queues=frozenset({"gpu", "video"}),
    headers={"Authorization": "Bearer s3cret"},
    verify_tls=False,
    ca_file="/etc/ssl/attic.pem",
)
CELLAR = NodeConfig("cellar", "http://cellar:8188")


def put(store: Stores, config: NodeConfig, mode: WriteMode = WriteMode.CREATE, at: int = T0) -> None:
    store.nodes.put(PutNode(config, mode, at))


def configs(store: Stores) -> list[NodeConfig]:
    return [node.config for node in store.nodes.all()[0]]


def test_a_node_comes_back_as_it_was_added(store: Stores):
    put(store, CELLAR)
    put(store, ATTIC)
    assert configs(store) == [ATTIC, CELLAR]
    assert store.nodes.all()[0][0].created_at == T0


def test_a_name_is_given_once(store: Stores):
    put(store, ATTIC)
    with pytest.raises(Conflict, match="attic"):
        put(store, replace(CELLAR, name="attic"))
    assert configs(store) == [ATTIC]


def test_one_of_many_who_add_the_same_name_at_once_wins(store: Stores):
    answers = in_threads([lambda n=n: put(store, NodeConfig("n", f"http://{n}")) for n in range(6)])
    assert sum(isinstance(answer, Conflict) for answer in answers) == 5
    assert len(configs(store)) == 1


def test_a_changed_node_keeps_its_age(store: Stores):
    put(store, CELLAR)
    put(store, replace(CELLAR, slots=4), WriteMode.REPLACE, T0 + MINUTE)
    (node,) = store.nodes.all()[0]
    assert node.config.slots == 4
    assert (node.created_at, node.updated_at) == (T0, T0 + MINUTE)


@pytest.mark.parametrize("mode", [WriteMode.REPLACE, WriteMode.DELETE])
def test_a_node_that_is_not_there_cannot_be_changed(store: Stores, mode: WriteMode):
    with pytest.raises(NotFound, match="cellar"):
        put(store, CELLAR, mode)
    assert configs(store) == []


def test_a_drained_node_says_so_and_since_when(store: Stores):
    put(store, CELLAR)
    store.nodes.drain(Drain("cellar", True, T0 + 1))
    store.nodes.drain(Drain("cellar", True, T0 + 2))
    assert configs(store) == [replace(CELLAR, draining=True)]
    assert store.nodes.all()[1] == {"cellar": T0 + 1}
    store.nodes.drain(Drain("cellar", False, T0 + 3))
    assert configs(store) == [CELLAR]


def test_a_node_of_the_settings_is_drained_without_a_row(store: Stores):
    store.nodes.drain(Drain("fixed", True, T0))
    assert store.nodes.all() == ([], {"fixed": T0})


def test_a_node_is_added_and_changed_with_its_drain_mark(store: Stores):
    put(store, replace(CELLAR, draining=True))
    assert store.nodes.all()[1] == {"cellar": T0}
    put(store, CELLAR, WriteMode.REPLACE)
    assert store.nodes.all()[1] == {}


def test_a_name_used_again_is_not_drained_for_its_predecessor(store: Stores):
    put(store, replace(CELLAR, draining=True))
    put(store, CELLAR, WriteMode.DELETE)
    assert store.nodes.all() == ([], {})


def test_secrets_are_not_in_what_a_log_would_show():
    assert "s3cret" not in repr(ATTIC)
