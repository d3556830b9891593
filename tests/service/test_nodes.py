"""The registry of nodes: settings and table together, the same in every process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from socket import AF_INET, SOCK_STREAM

import pytest

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db.engine import open_engines
from imagemill.domain.errors import Conflict, InvalidInput, NotFound
from imagemill.domain.nodes import NodeConfig
from imagemill.net.addresses import is_same_server
from imagemill.nodes.registry import NodeRegistry, check
from tests.nodes import STATIC, FakeNodes
from tests.service.build import wait_until

ATTIC = NodeConfig("attic", "http://attic:8188", labels=frozenset({"big"}))


@pytest.fixture
def backend() -> FakeNodes:
    return FakeNodes()


@pytest.fixture
def registry(store: Stores, backend: FakeNodes) -> NodeRegistry:
    made = NodeRegistry(store.nodes, [STATIC], backend)
    made.refresh()
    return made


def names(registry: NodeRegistry) -> list[str]:
    return [view.config.name for view in registry.views()]


def test_nodes_of_the_settings_and_of_the_table_are_configured_together(
    registry: NodeRegistry, backend: FakeNodes
):
    registry.add(ATTIC)
    assert names(registry) == ["fixed", "attic"]
    assert backend.configured[-1] == (STATIC, ATTIC)


def test_a_node_is_shown_with_what_is_known_of_it(registry: NodeRegistry):
    view = registry.add(ATTIC)
    assert not view.is_static
    assert view.created_at is not None
    assert view.report is not None
    assert view.report.version == "0.33.0"
    assert registry.get("fixed").is_static


def test_a_change_reaches_the_backend_at_once(registry: NodeRegistry, backend: FakeNodes):
    registry.add(ATTIC)
    registry.update("attic", {"slots": 3, "labels": frozenset({"small"})})
    assert backend.now["attic"] == replace(ATTIC, slots=3, labels=frozenset({"small"}))
    registry.remove("attic")
    assert list(backend.now) == ["fixed"]


def test_nothing_new_is_not_configured_again(registry: NodeRegistry, backend: FakeNodes):
    assert registry.refresh() is False
    assert len(backend.configured) == 1


def test_a_drained_node_stays_and_gets_no_more(registry: NodeRegistry, backend: FakeNodes):
    registry.add(ATTIC)
    assert registry.drain("attic").config.draining
    assert backend.now["attic"].draining
    assert not registry.drain("attic", False).config.draining
    assert registry.update("attic", {"draining": True}).config.draining


def test_a_node_of_the_settings_is_drained_but_not_changed_or_removed(registry: NodeRegistry):
    assert registry.drain("fixed").config.draining
    assert not registry.update("fixed", {"draining": False}).config.draining
    with pytest.raises(Conflict, match="settings"):
        registry.update("fixed", {"slots": 3})
    with pytest.raises(Conflict, match="settings"):
        registry.remove("fixed")


def test_an_installation_with_the_same_table_keeps_the_drain(store: Stores):
    NodeRegistry(store.nodes, [STATIC], FakeNodes()).drain("fixed")
    assert NodeRegistry(store.nodes, [STATIC], FakeNodes()).get("fixed").config.draining


@pytest.mark.parametrize("name", ["attic", "fixed"])
def test_a_name_is_given_once(registry: NodeRegistry, name: str):
    registry.add(ATTIC)
    with pytest.raises(Conflict, match=name):
        registry.add(NodeConfig(name, "http://elsewhere"))
    assert names(registry) == ["fixed", "attic"]


@pytest.mark.parametrize(
    "url", ["http://attic:8188", "HTTP://ATTIC:8188/", "http://fixed.example:8188", "http://attic:8188//"]
)
def test_a_server_is_added_once(registry: NodeRegistry, url: str):
    registry.add(ATTIC)
    with pytest.raises(Conflict, match=r"node (attic|fixed) already"):
        registry.add(NodeConfig("second", url))


@pytest.mark.parametrize("url", ["http://127.0.0.1:9999", "http://[::1]:9999", "ws://localhost:9999/ws"])
def test_a_server_of_this_machine_is_added_once_under_any_name(registry: NodeRegistry, url: str):
    registry.add(NodeConfig("a", "http://localhost:9999"))
    with pytest.raises(Conflict, match="node a already"):
        registry.add(NodeConfig("b", url))
    registry.add(NodeConfig("c", "http://127.0.0.1:9998"))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://gpu.example:8188/prompt", "http://gpu.example:8188"),
        ("http://gpu.example:8188/comfy/prompt/", "http://gpu.example:8188/comfy"),
        ("wss://gpu.example/ws", "https://gpu.example"),
    ],
)
def test_the_address_of_a_route_is_kept_as_that_of_its_server(registry: NodeRegistry, given: str, kept: str):
    assert registry.add(NodeConfig("a", given)).config.url == kept


def test_two_names_with_one_address_may_be_two_servers_behind_a_proxy(monkeypatch: pytest.MonkeyPatch):
    found = [(AF_INET, SOCK_STREAM, 6, "", ("203.0.113.7", 0))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    assert not is_same_server("https://a.example", "https://b.example")
    assert is_same_server("https://a.example", "https://203.0.113.7")
    assert not is_same_server("https://a.example/one", "https://203.0.113.7/two")


def test_the_schemes_own_port_makes_no_other_server(registry: NodeRegistry):
    registry.add(NodeConfig("a", "https://comfy.example"))
    with pytest.raises(Conflict, match="node a already"):
        registry.add(NodeConfig("b", "https://comfy.example:443/"))
    registry.add(NodeConfig("c", "https://comfy.example/second"))


def test_an_address_cannot_be_changed_to_another_nodes(registry: NodeRegistry):
    registry.add(ATTIC)
    registry.update("attic", {"url": "http://attic:8188/"})
    with pytest.raises(Conflict, match="node fixed already"):
        registry.update("attic", {"url": STATIC.url})


@pytest.mark.parametrize("act", ["get", "drain", "remove", "examine"])
def test_an_unknown_node_is_not_found(registry: NodeRegistry, act: str):
    with pytest.raises(NotFound, match="nodes list"):
        getattr(registry, act)("nobody")


@pytest.mark.parametrize(
    ("field", "config"),
    [
        ("name", NodeConfig("", "http://a")),
        ("name", NodeConfig("a b", "http://a")),
        ("name", NodeConfig("-a", "http://a")),
        ("name", NodeConfig("n" * 65, "http://a")),
        ("url", NodeConfig("a", "attic:8188")),
        ("url", NodeConfig("a", "ftp://attic")),
        ("url", NodeConfig("a", "http://")),
        ("url", NodeConfig("a", "http://attic:port")),
        ("url", NodeConfig("a", "http://attic:99999")),
        ("url", NodeConfig("a", "http://me:pw@attic")),
        ("url", NodeConfig("a", "http://attic?x=1")),
        ("url", NodeConfig("a", "http://attic#x")),
        ("url", NodeConfig("a", "http://att ic")),
        ("url", NodeConfig("a", "http://" + "a" * 500)),
        ("slots", NodeConfig("a", "http://a", slots=0)),
        ("memoryMb", NodeConfig("a", "http://a", memory_mb=0)),
        ("labels", NodeConfig("a", "http://a", labels=frozenset({"two words"}))),
        ("queues", NodeConfig("a", "http://a", queues=frozenset())),
        ("headers", NodeConfig("a", "http://a", headers={"a b": "x"})),
        ("headers.Host", NodeConfig("a", "http://a", headers={"Host": "x"})),
        ("headers.X", NodeConfig("a", "http://a", headers={"X": "a\r\nY: b"})),
        ("caFile", NodeConfig("a", "http://a", ca_file="relative.pem")),
        ("caFile", NodeConfig("a", "http://a", ca_file="/a.pem", verify_tls=False)),
    ],
)
def test_what_no_node_can_be_is_refused_by_field(field: str, config: NodeConfig):
    with pytest.raises(InvalidInput) as refused:
        check(config)
    assert [error.path for error in refused.value.errors] == [field]
    assert "pw" not in str(refused.value)


def test_every_fault_is_told_at_once():
    with pytest.raises(InvalidInput) as refused:
        check(NodeConfig("a b", "attic", slots=99))
    assert [error.path for error in refused.value.errors] == ["name", "slots", "url"]


def test_settings_that_name_a_server_twice_are_refused(store: Stores):
    with pytest.raises(InvalidInput, match="node fixed already"):
        NodeRegistry(store.nodes, [STATIC, replace(STATIC, name="again")], FakeNodes())
    with pytest.raises(InvalidInput, match="twice"):
        NodeRegistry(store.nodes, [STATIC, replace(STATIC, url="http://other")], FakeNodes())


def test_a_name_of_the_settings_goes_before_one_of_the_table(store: Stores):
    NodeRegistry(store.nodes, [], FakeNodes()).add(NodeConfig("fixed", "http://older"))
    registry = NodeRegistry(store.nodes, [STATIC], FakeNodes())
    assert [view.config.url for view in registry.views()] == [STATIC.url]


def test_a_process_without_comfyui_knows_the_nodes_but_not_how_they_are(store: Stores):
    registry = NodeRegistry(store.nodes, [STATIC], None)
    assert registry.add(ATTIC).report is None
    with pytest.raises(Conflict, match="no ComfyUI backend"):
        registry.examine("attic")


@pytest.fixture
def other_process(store: Stores, tmp_path: Path) -> Iterator[Stores]:
    """Another one's view of the same database."""
    another = build_stores(open_engines(f"sqlite:///{tmp_path / 'store.db'}"))
    yield another
    another.close()


@contextmanager
def following(store: Stores, backend: FakeNodes) -> Iterator[NodeRegistry]:
    registry = NodeRegistry(store.nodes, [], backend, poll_s=0.02)
    registry.start()
    try:
        yield registry
    finally:
        registry.close()


def test_changes_of_one_process_are_seen_by_the_others(store: Stores, other_process: Stores):
    theirs, ours = FakeNodes(), NodeRegistry(store.nodes, [], FakeNodes())
    with following(other_process, theirs):
        ours.add(ATTIC)
        wait_until(lambda: "attic" in theirs.now)
        ours.drain("attic")
        wait_until(lambda: theirs.now["attic"].draining)
        ours.remove("attic")
        wait_until(lambda: theirs.now == {})


class Unruly(FakeNodes):
    """Meets a bug the first time a node is there."""

    failures = 0

    def configure(self, nodes: Sequence[NodeConfig]) -> None:
        if nodes and not self.failures:
            self.failures = 1
            raise RuntimeError("a bug")
        super().configure(nodes)


def test_a_bug_in_the_backend_does_not_end_the_following(store: Stores, other_process: Stores):
    theirs, ours = Unruly(), NodeRegistry(store.nodes, [], FakeNodes())
    with following(other_process, theirs):
        ours.add(ATTIC)
        wait_until(lambda: "attic" in theirs.now)
    assert theirs.failures == 1
