"""The ComfyUI nodes of an installation, from the settings and the table, the same in every process."""

import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from imagemill.db.database import WriteMode
from imagemill.domain.clock import now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, FieldError, InvalidInput, NotFound, StorageError
from imagemill.domain.nodes import Finding, NodeConfig, NodeReport, server_address
from imagemill.net.addresses import is_same_server
from imagemill.nodes.store import Drain, NodeStore, PutNode

log = logging.getLogger(__name__)

POLL_S = 2.0
"""Seconds until a change by another process is seen. Each poll reads one small table."""

MAX_SLOTS = 16
"""More than two jobs at once gain nothing on a ComfyUI server; more slots are for proxies of several."""
_MAX_HEADERS = 20
_MAX_HEADER = 4096
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LABEL = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OWN_HEADERS = frozenset(
    {"host", "content-length", "content-type", "connection", "transfer-encoding", "upgrade"}
)
"""Headers that the connection sets itself; a second one would break it."""
_PORTS = {"http": 80, "https": 443}


class NodeBackend(Protocol):
    """A backend that connects to the nodes."""

    def configure(self, nodes: Sequence[NodeConfig]) -> None:
        """Replace all nodes. Thread-safe."""
        ...

    def reports(self) -> Sequence[NodeReport]: ...

    def examine(self, name: str) -> Iterator[Finding]:
        """Examine a node; yields each finding when it is there, which takes seconds."""
        ...


@dataclass(frozen=True, slots=True)
class NodeView:
    """The configuration of a node, and its state in this process."""

    config: NodeConfig
    is_static: bool
    """Whether it is from the settings: then it cannot be changed or removed, only drained."""
    report: NodeReport | None
    created_at: int | None = None
    updated_at: int | None = None


class NodeRegistry:
    """The nodes. ``backend`` None means a process without a ComfyUI backend and without node states."""

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
        """Configure the backend, then poll the table."""
        self.refresh()
        self._thread = threading.Thread(target=self._follow, name="imagemill-node-table", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def refresh(self) -> bool:
        """Read the table and configure the backend; return whether anything has changed."""
        with self._lock:
            nodes = tuple(view.config for view in self._configured())
            if nodes == self._known:
                return False
            if self._backend is not None:
                self._backend.configure(nodes)
            self._known = nodes
            return True

    def views(self) -> Sequence[NodeView]:
        """Return the nodes: those of the settings first, then by name."""
        reports = {report.name: report for report in self._backend.reports()} if self._backend else {}
        return [replace(view, report=reports.get(view.config.name)) for view in self._configured()]

    def get(self, name: str) -> NodeView:
        """Return a node. Raises `NotFound`."""
        for view in self.views():
            if view.config.name == name:
                return view
        raise NotFound(f"there is no node {name[:64]!r}; `imagemill nodes list` lists all nodes")

    def add(self, config: NodeConfig) -> NodeView:
        """Add a node. Raises `InvalidInput` by field, or `Conflict` for a taken name or address."""
        config = check(config)
        self._refuse_twice(config)
        self._store.put(PutNode(config, WriteMode.CREATE, now_us()))
        self.refresh()
        return self.get(config.name)

    def update(self, name: str, changes: Mapping[str, Any]) -> NodeView:
        """Change fields of a `NodeConfig`, or ``draining``. Raises `NotFound` and the errors of `add`."""
        view = self.get(name)
        if view.is_static:
            if set(changes) - {"draining"}:
                raise Conflict(f"{name} is from the settings; change it there and restart the server")
            self._store.drain(Drain(name, bool(changes.get("draining")), now_us()))
        else:
            config = check(replace(view.config, **changes))
            self._refuse_twice(config)
            self._store.put(PutNode(config, WriteMode.REPLACE, now_us()))
        self.refresh()
        return self.get(name)

    def drain(self, name: str, draining: bool = True) -> NodeView:
        """Stop or resume giving a node new jobs; it finishes those it has. Raises `NotFound`."""
        self.get(name)
        self._store.drain(Drain(name, draining, now_us()))
        self.refresh()
        return self.get(name)

    def remove(self, name: str) -> None:
        """Remove a node. Raises `NotFound`, or `Conflict` for a node of the settings."""
        view = self.get(name)
        if view.is_static:
            raise Conflict(f"{name} is from the settings; remove it there, or drain it")
        self._store.put(PutNode(view.config, WriteMode.DELETE, now_us()))
        self.refresh()

    def examine(self, name: str) -> Iterator[Finding]:
        """Return the findings about a node as they come, which takes seconds.

        Raises `NotFound`, or `Conflict` without a ComfyUI backend.
        """
        self.get(name)
        if self._backend is None:
            raise Conflict("this process has no ComfyUI backend and cannot reach nodes; use another process")
        self.refresh()
        return self._backend.examine(name)

    def _configured(self) -> list[NodeView]:
        stored, drained = self._store.all()
        static = [
            NodeView(replace(config, draining=config.draining or config.name in drained), True, None)
            for config in self._static
        ]
        names = {config.name for config in self._static}
        # A node of the settings overrides one of the table with its name, so that settings always apply.
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
            if other.name != config.name and is_same_server(other.url, config.url):
                raise Conflict(f"{config.url} is node {other.name} already; a server is added once")

    def _follow(self) -> None:
        while not self._stop.wait(self._poll_s):
            try:
                self.refresh()
            except StorageError as error:
                log.warning("the table of nodes cannot be read: %s", error)
            except Exception:
                log.exception("a bug interrupted the configuration of nodes; it is retried")


def check_all(configs: Sequence[NodeConfig]) -> None:
    """Raise `InvalidInput` for errors in the nodes of the settings, each and together."""
    places: dict[str, str] = {}
    names: set[str] = set()
    for config in map(check, configs):
        if config.name in names:
            raise InvalidInput.at("name", f"{config.name} is in the settings twice; names must be unique")
        if other := places.get(_place(config.url)):
            raise InvalidInput.at("url", f"{config.url} is node {other} already; a server is added once")
        names.add(config.name)
        places[_place(config.url)] = config.name


def check(config: NodeConfig) -> NodeConfig:
    """Return the configuration with a normalized address. Raises `InvalidInput` with every fault."""
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
        wrong(
            "memoryMb",
            f"is {config.memory_mb}; should be at least 1, or absent for the value the node reports",
        )
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
    """Check headers. The messages contain no values, since these are secrets."""
    if len(headers) > _MAX_HEADERS:
        wrong("headers", f"are {len(headers)}; at most {_MAX_HEADERS} are sent")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            wrong("headers", f"{name[:40]!r} is not a header name; one looks like CF-Access-Client-Id")
        elif name.lower() in _OWN_HEADERS:
            wrong(f"headers.{name}", "is set by the connection itself; leave it out")
        elif not value or len(value) > _MAX_HEADER or not value.isascii() or not value.isprintable():
            wrong(f"headers.{name}", f"should be 1 to {_MAX_HEADER} printable ASCII characters on one line")


def _address(url: str, wrong: _Wrong) -> str:
    """Return the address without a slash at the end, scheme and host in lower case."""
    example = "one looks like http://192.168.1.20:8188"
    url = server_address(url)
    parts = _split(url)
    if parts is None or parts.scheme not in _PORTS or not parts.hostname:
        wrong("url", f"is {_shown(url)}, which is not the address of a node; {example}")
    elif "@" in parts.netloc:
        wrong("url", "holds a user name or password; send them as a header instead, which is kept secret")
    elif parts.query or parts.fragment:
        wrong("url", f"has a query or a fragment, which the address of a node must not have; {example}")
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
        _ = parts.port  # raises when it is not a number
    except ValueError:
        return None
    return parts


def _shown(url: str) -> str:
    """Return the URL for a message, without anything that may be a password."""
    return repr(url[:80]) if "@" not in url else "not shown as it holds an @"


def _place(url: str) -> str:
    """Return a text that is equal for addresses of the same server, with or without the default port."""
    parts = urlsplit(url)
    return (
        f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS.get(parts.scheme)}{parts.path.rstrip('/')}"
    )
