"""The ComfyUI nodes of an installation: of the settings and of the table, alike in every process."""

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from imagemill.db.database import WriteMode
from imagemill.domain.clock import now_us
from imagemill.domain.errors import Conflict, FieldError, InvalidInput, NotFound, StorageError
from imagemill.domain.nodes import Finding, NodeConfig, NodeReport
from imagemill.nodes.store import Drain, NodeStore, PutNode

log = logging.getLogger(__name__)

POLL_S = 2.0
"""How long a change by another process may go unseen. The read is of one small table."""

MAX_SLOTS = 16
"""More than two in flight buys nothing on a ComfyUI server; the rest is room for proxies over several."""
_MAX_HEADERS = 20
_MAX_HEADER = 4096
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LABEL = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OWN_HEADERS = frozenset(
    {"host", "content-length", "content-type", "connection", "transfer-encoding", "upgrade"}
)
"""What the connection itself says; a second one would break it."""
_PORTS = {"http": 80, "https": 443}


class NodeBackend(Protocol):
    """What connects to the nodes."""

    def configure(self, nodes: Sequence[NodeConfig]) -> None:
        """These are all nodes from now on. Callable at any time, from any thread."""
        ...

    def reports(self) -> Sequence[NodeReport]: ...

    def examine(self, name: str) -> Sequence[Finding]:
        """Look closely; takes seconds."""
        ...


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as it is configured, and what this process knows of it."""

    config: NodeConfig
    is_static: bool
    """From the settings: it cannot be changed or removed, only drained."""
    report: NodeReport | None
    created_at: int | None = None
    updated_at: int | None = None


class NodeRegistry:
    """``backend``: None in a process without a ComfyUI backend, which does not know how the nodes are."""

    def __init__(
        self,
        store: NodeStore,
        static: Sequence[NodeConfig],
        backend: NodeBackend | None,
        *,
        poll_s: float = POLL_S,
    ) -> None:
        check_all(static)
        self._store = store
        self._static = tuple(static)
        self._backend = backend
        self._poll_s = poll_s
        self._lock = threading.Lock()
        self._known: tuple[NodeConfig, ...] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Configure the backend, then follow the table."""
        self.refresh()
        self._thread = threading.Thread(target=self._follow, name="imagemill-node-table", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def refresh(self) -> bool:
        """Tell the backend what changed in the table; whether anything had."""
        with self._lock:
            nodes = tuple(view.config for view in self._configured())
            if nodes == self._known:
                return False
            if self._backend is not None:
                self._backend.configure(nodes)
            self._known = nodes
            return True

    def views(self) -> Sequence[NodeView]:
        """Those of the settings first, then by name."""
        reports = {report.name: report for report in self._backend.reports()} if self._backend else {}
        return [replace(view, report=reports.get(view.config.name)) for view in self._configured()]

    def get(self, name: str) -> NodeView:
        """Raises `NotFound`."""
        for view in self.views():
            if view.config.name == name:
                return view
        raise NotFound(f"there is no node {name[:64]!r}; `imagemill nodes list` names those there are")

    def add(self, config: NodeConfig) -> NodeView:
        """Raises `InvalidInput` by field, `Conflict` for a name or an address that is taken."""
        config = check(config)
        self._refuse_twice(config)
        self._store.put(PutNode(config, WriteMode.CREATE, now_us()))
        self.refresh()
        return self.get(config.name)

    def update(self, name: str, changes: Mapping[str, Any]) -> NodeView:
        """Change fields of a `NodeConfig`, ``draining`` among them. Raises as `add`, and `NotFound`."""
        view = self.get(name)
        if view.is_static:
            if set(changes) - {"draining"}:
                raise Conflict(f"{name} is of the settings; change it there, and start again")
            self._store.drain(Drain(name, bool(changes.get("draining")), now_us()))
        else:
            config = check(replace(view.config, **changes))
            self._refuse_twice(config)
            self._store.put(PutNode(config, WriteMode.REPLACE, now_us()))
        self.refresh()
        return self.get(name)

    def drain(self, name: str, draining: bool = True) -> NodeView:
        """Give the node no more jobs, or jobs again; what it has, it finishes. Raises `NotFound`."""
        self.get(name)
        self._store.drain(Drain(name, draining, now_us()))
        self.refresh()
        return self.get(name)

    def remove(self, name: str) -> None:
        """Raises `NotFound`, and `Conflict` for a node of the settings."""
        view = self.get(name)
        if view.is_static:
            raise Conflict(f"{name} is of the settings; take it out there, or drain it")
        self._store.put(PutNode(view.config, WriteMode.DELETE, now_us()))
        self.refresh()

    def examine(self, name: str) -> Sequence[Finding]:
        """Takes seconds. Raises `NotFound`, and `Conflict` where no backend could look."""
        self.get(name)
        if self._backend is None:
            raise Conflict("this process has no ComfyUI backend and cannot reach nodes; ask another one")
        self.refresh()
        return self._backend.examine(name)

    def _configured(self) -> list[NodeView]:
        stored, drained = self._store.all()
        static = [
            NodeView(replace(config, draining=config.draining or config.name in drained), True, None)
            for config in self._static
        ]
        names = {config.name for config in self._static}
        # A name of the settings goes before one of the table: who writes settings sees what is there.
        return static + [
            NodeView(node.config, False, None, node.created_at, node.updated_at)
            for node in stored
            if node.config.name not in names
        ]

    def _refuse_twice(self, config: NodeConfig) -> None:
        for view in self._configured():
            other = view.config
            if view.is_static and other.name == config.name:
                raise Conflict(f"a node named {other.name} is in the settings; choose another name")
            if other.name != config.name and _place(other.url) == _place(config.url):
                raise Conflict(f"{config.url} is node {other.name} already; a server is added once")

    def _follow(self) -> None:
        while not self._stop.wait(self._poll_s):
            try:
                self.refresh()
            except StorageError as error:
                log.warning("the table of nodes cannot be read: %s", error)
            except Exception:
                log.exception("a bug while nodes were configured; it is tried again")


def check_all(configs: Sequence[NodeConfig]) -> None:
    """Raises `InvalidInput` for what is wrong with the nodes of the settings, each and together."""
    places: dict[str, str] = {}
    names: set[str] = set()
    for config in map(check, configs):
        if config.name in names:
            raise InvalidInput.at("name", f"{config.name} is in the settings twice; a name is given once")
        if other := places.get(_place(config.url)):
            raise InvalidInput.at("url", f"{config.url} is node {other} already; a server is added once")
        names.add(config.name)
        places[_place(config.url)] = config.name


def check(config: NodeConfig) -> NodeConfig:
    """The configuration with its address in its usual form. Raises `InvalidInput` with every fault."""
    errors: list[FieldError] = []

    def wrong(path: str, message: str) -> None:
        errors.append(FieldError(path, message))

    if not _NAME.fullmatch(config.name):
        wrong("name", "should be 1 to 64 letters, digits, '.', '-' or '_', beginning with a letter or digit")
    for label in sorted(config.labels):
        if not _LABEL.fullmatch(label):
            wrong("labels", f"{label[:40]!r} should be 1 to 64 letters, digits or any of . _ : / -")
    if not 1 <= config.slots <= MAX_SLOTS:
        wrong("slots", f"is {config.slots}; should be from 1 to {MAX_SLOTS}, and 2 is best")
    if config.memory_mb is not None and config.memory_mb < 1:
        wrong("memoryMb", f"is {config.memory_mb}; should be at least 1, or absent: what the node says")
    if not config.queues or not all(_LABEL.fullmatch(queue) for queue in config.queues):
        wrong("queues", "should name at least one queue, such as gpu")
    _check_headers(config.headers, wrong)
    url = _address(config.url, wrong)
    if config.ca_file is not None and ("\0" in config.ca_file or not PurePath(config.ca_file).is_absolute()):
        wrong("caFile", f"is {config.ca_file[:80]!r}; should be the full path of a PEM file on the server")
    if config.ca_file is not None and not config.verify_tls:
        wrong("caFile", "has no effect while verifyTls is false; give only one of the two")
    if errors:
        raise InvalidInput(errors)
    return replace(config, url=url)


class _Wrong(Protocol):
    def __call__(self, path: str, message: str) -> None: ...


def _check_headers(headers: Mapping[str, str], wrong: _Wrong) -> None:
    """Never shows a value: it is a secret."""
    if len(headers) > _MAX_HEADERS:
        wrong("headers", f"are {len(headers)}; at most {_MAX_HEADERS} are sent")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            wrong("headers", f"{name[:40]!r} is no header's name; one looks like CF-Access-Client-Id")
        elif name.lower() in _OWN_HEADERS:
            wrong(f"headers.{name}", "is set by the connection itself; leave it out")
        elif not value or len(value) > _MAX_HEADER or not value.isascii() or not value.isprintable():
            wrong(f"headers.{name}", f"should be 1 to {_MAX_HEADER} printable ASCII characters on one line")


def _address(url: str, wrong: _Wrong) -> str:
    """Without a slash at the end; scheme and host in lower case."""
    example = "one looks like http://192.168.1.20:8188"
    parts = _split(url)
    if parts is None or parts.scheme not in _PORTS or not parts.hostname:
        wrong("url", f"is {_shown(url)}, no address of a node; {example}")
    elif "@" in parts.netloc:
        wrong("url", "holds a user name or password; send them as a header instead, which is kept secret")
    elif parts.query or parts.fragment:
        wrong("url", f"has a query or a fragment, which an address of a node has not; {example}")
    elif len(url) > 500:
        wrong("url", "is longer than 500 characters")
    else:
        return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"
    return url


def _split(url: str) -> SplitResult | None:
    if not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is no number
    except ValueError:
        return None
    return parts


def _shown(url: str) -> str:
    """Nothing of what may be a password."""
    return repr(url[:80]) if "@" not in url else "not shown as it holds an @"


def _place(url: str) -> str:
    """Equal for addresses of the same server, with or without the scheme's own port."""
    parts = urlsplit(url)
    return (
        f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS.get(parts.scheme)}{parts.path.rstrip('/')}"
    )
