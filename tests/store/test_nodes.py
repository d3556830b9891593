"""The tables of nodes and of what is drained."""

from dataclasses import replace

import pytest

from imagemill.domain.errors import Conflict, NotFound
from imagemill.domain.nodes import NodeConfig
from imagemill.jobs.store.store import Store
from imagemill.model_registry.store import WriteMode
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


def put(store: Store, config: NodeConfig, mode: WriteMode = WriteMode.CREATE, at: int = T0) -> None:
    store.put_node(PutNode(config, mode, at))


def configs(store: Store) -> list[NodeConfig]:
    return [node.config for node in store.nodes()[0]]


def test_a_node_comes_back_as_it_was_added(store: Store):
    put(store, CELLAR)
    put(store, ATTIC)
    assert configs(store) == [ATTIC, CELLAR]
    assert store.nodes()[0][0].created_at == T0


def test_a_name_is_given_once(store: Store):
    put(store, ATTIC)
    with pytest.raises(Conflict, match="attic"):
        put(store, replace(CELLAR, name="attic"))
    assert configs(store) == [ATTIC]


def test_one_of_many_who_add_the_same_name_at_once_wins(store: Store):
    answers = in_threads([lambda n=n: put(store, NodeConfig("n", f"http://{n}")) for n in range(6)])
    assert sum(isinstance(answer, Conflict) for answer in answers) == 5
    assert len(configs(store)) == 1


def test_a_changed_node_keeps_its_age(store: Store):
    put(store, CELLAR)
    put(store, replace(CELLAR, slots=4), WriteMode.REPLACE, T0 + MINUTE)
    (node,) = store.nodes()[0]
    assert node.config.slots == 4
    assert (node.created_at, node.updated_at) == (T0, T0 + MINUTE)


@pytest.mark.parametrize("mode", [WriteMode.REPLACE, WriteMode.DELETE])
def test_a_node_that_is_not_there_cannot_be_changed(store: Store, mode: WriteMode):
    with pytest.raises(NotFound, match="cellar"):
        put(store, CELLAR, mode)
    assert configs(store) == []


def test_a_drained_node_says_so_and_since_when(store: Store):
    put(store, CELLAR)
    store.drain_node(Drain("cellar", True, T0 + 1))
    store.drain_node(Drain("cellar", True, T0 + 2))
    assert configs(store) == [replace(CELLAR, draining=True)]
    assert store.nodes()[1] == {"cellar": T0 + 1}
    store.drain_node(Drain("cellar", False, T0 + 3))
    assert configs(store) == [CELLAR]


def test_a_node_of_the_settings_is_drained_without_a_row(store: Store):
    store.drain_node(Drain("fixed", True, T0))
    assert store.nodes() == ([], {"fixed": T0})


def test_a_node_is_added_and_changed_with_its_drain_mark(store: Store):
    put(store, replace(CELLAR, draining=True))
    assert store.nodes()[1] == {"cellar": T0}
    put(store, CELLAR, WriteMode.REPLACE)
    assert store.nodes()[1] == {}


def test_a_name_used_again_is_not_drained_for_its_predecessor(store: Store):
    put(store, replace(CELLAR, draining=True))
    put(store, CELLAR, WriteMode.DELETE)
    assert store.nodes() == ([], {})


def test_secrets_are_not_in_what_a_log_would_show():
    assert "s3cret" not in repr(ATTIC)
