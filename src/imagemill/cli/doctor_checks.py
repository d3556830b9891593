"""What `imagemill doctor` looks at, joined from the settings: one check a part of the installation."""

import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from imagemill.backends.comfyui.client import NodeClient
from imagemill.backends.comfyui.errors import ComfyError
from imagemill.backends.comfyui.settings import configured_nodes
from imagemill.blobs.base import BlobStore
from imagemill.bootstrap.build import open_blobs
from imagemill.cli.settings_check import unknown_variables, variables
from imagemill.cli.startup import shown_database
from imagemill.config import Settings
from imagemill.db.database import Database
from imagemill.db.engine import inspect_database, open_engines
from imagemill.db.tables import REVISION
from imagemill.domain.errors import ImagemillError, StorageError
from imagemill.domain.nodes import Finding, Level, NodeConfig
from imagemill.nodes.store import NodeStore
from imagemill.settings import mask_url

Check = Callable[[], Iterator[Finding]]

CLOCK_WARNING_S = 0.5
"""Leases are renewed every second or so: less than this is lost in it."""
FULL_BYTES = 256 * 2**20
"""A database needs this much to grow in until somebody comes."""
LITTLE_BYTES = 4 * 2**30
"""About two thousand pictures of a megapixel."""


class DatabaseView(Protocol):
    """What was seen of a database; see `imagemill.db.engine.DatabaseStatus`."""

    @property
    def kind(self) -> str: ...
    @property
    def revision(self) -> str | None: ...
    @property
    def required_revision(self) -> str: ...
    @property
    def clock_ahead_s(self) -> float: ...
    @property
    def round_trip_s(self) -> float: ...


class DoctorCheckFailed(Exception):
    """Why something cannot be used, and what to do."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}")


def run(checks: Sequence[tuple[str, Check]]) -> Iterator[Finding]:
    """One after the other; a check that cannot go on ends with its error."""
    for subject, check in checks:
        try:
            yield from check()
        except (ImagemillError, DoctorCheckFailed) as error:
            yield Finding(Level.ERROR, subject, str(error))


def check_database(look: Callable[[], DatabaseView], shown: str, lease_s: float) -> Iterator[Finding]:
    """``shown``: its address without a password; ``lease_s``: the leading scheduler's, which clocks bound."""
    try:
        seen = look()
    except StorageError as error:
        reason = " ".join(str(error).split())
        raise DoctorCheckFailed(
            f"{shown} does not answer ({reason})",
            "start it, or correct IMAGEMILL_DATABASE_URL",
        ) from error
    took = f" in {seen.round_trip_s * 1000:.1f} ms" if seen.round_trip_s else ""
    yield Finding(Level.OK, "database", f"{shown} answers{took}" if seen.revision else f"{shown} can be used")
    yield _revision(seen)
    if seen.kind != "sqlite":
        yield _clock(seen.clock_ahead_s, lease_s)


def _revision(seen: DatabaseView) -> Finding:
    if seen.revision == seen.required_revision:
        return Finding(Level.OK, "revision", f"{seen.revision}, as this version wants it")
    if seen.revision is None:
        return Finding(Level.WARNING, "revision", "it is empty: run imagemill migrate, or start a server")
    if seen.revision < seen.required_revision:
        text = f"{seen.revision}, and this version wants {seen.required_revision}: run imagemill migrate"
        return Finding(Level.WARNING, "revision", text)
    known = seen.required_revision
    text = f"{seen.revision} is of a newer version (this one knows {known}): update this machine"
    return Finding(Level.ERROR, "revision", text)


def _clock(ahead_s: float, lease_s: float) -> Finding:
    text = f"this machine is {abs(ahead_s):.3f} s {'ahead of' if ahead_s >= 0 else 'behind'} the database"
    if abs(ahead_s) >= lease_s:
        remedy = f"start time synchronisation here and there; leases of {lease_s:g} s mean nothing so"
        return Finding(Level.ERROR, "clock", f"{text}: {remedy}")
    if abs(ahead_s) >= CLOCK_WARNING_S:
        return Finding(Level.WARNING, "clock", f"{text}: look at time synchronisation, here and there")
    return Finding(Level.OK, "clock", text)


def check_blobs(blobs: Callable[[], BlobStore], shown: str, remedy: str) -> Iterator[Finding]:
    """Writes a file of its own, reads it back and deletes it."""
    data = secrets.token_bytes(64)
    key = f"health/doctor-{data[:8].hex()}"
    started = time.perf_counter()
    try:
        store = blobs()
        store.put(key, data, "application/octet-stream")
        try:
            same = store.get(key) == data
        finally:
            store.delete([key])
    except (ImagemillError, OSError) as error:
        raise DoctorCheckFailed(f"{shown}: {error}", remedy) from error
    took = f"{(time.perf_counter() - started) * 1000:.0f} ms"
    if same:
        yield Finding(Level.OK, "blobs", f"{shown}: written, read and deleted in {took}")
    else:
        text = f"{shown} gave back other bytes than were written: {remedy}"
        yield Finding(Level.ERROR, "blobs", text)


def check_folder(folder: Path) -> Iterator[Finding]:
    """The data folder: rights and room. It is made as a server would make it."""
    probe = folder / f".doctor-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"imagemill")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        user = f"user {os.getuid()}" if hasattr(os, "getuid") else "this user"
        remedy = f"give it to {user}, or name another one in IMAGEMILL_DATA_DIR"
        raise DoctorCheckFailed(f"{folder}: {error.strerror or error}", remedy) from error
    yield room(folder, free)
    kept = folder / "secrets"
    if os.name == "posix" and kept.is_dir() and stat.S_IMODE(kept.stat().st_mode) & 0o077:
        yield Finding(Level.WARNING, "rights", f"others can look into {kept}: chmod 700 {kept}")


def room(folder: Path, free: int) -> Finding:
    text = f"{folder} can be written to, {free / 2**30:.1f} GB free"
    if free < FULL_BYTES:
        return Finding(Level.ERROR, "folder", f"{text}: make room, the database cannot go on")
    if free < LITTLE_BYTES:
        return Finding(Level.WARNING, "folder", f"{text}: make room, or lower IMAGEMILL_JOB__RETENTION_DAYS")
    return Finding(Level.OK, "folder", text)


def check_answer(subject: str, ask: Callable[[], str]) -> Iterator[Finding]:
    """Something that answers with a sentence, or raises `DoctorCheckFailed`."""
    yield Finding(Level.OK, subject, ask())


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """A node and whether it answers now."""

    name: str
    url: str
    error: str = ""
    version: str = ""
    draining: bool = False


def check_nodes(looks: Callable[[], Sequence[NodeCheck]], *, simulated: bool) -> Iterator[Finding]:
    """A node that is away is a warning while another one works; without any that works it is an error."""
    nodes = looks()
    if not nodes:
        what = "the simulator draws" if simulated else "jobs will wait"
        text = f"there is no ComfyUI node, so {what}: imagemill nodes add NAME http://HOST:8188"
        yield Finding(Level.WARNING, "nodes", text)
        return
    level = Level.WARNING if any(not node.error for node in nodes) else Level.ERROR
    for node in nodes:
        if node.error:
            text = f"{node.name} ({node.url}) {node.error}; look closer: imagemill nodes doctor {node.name}"
            yield Finding(level, "nodes", text)
        else:
            note = ", drained" if node.draining else ""
            yield Finding(Level.OK, "nodes", f"{node.name} ({node.url}) is ComfyUI {node.version}{note}")


PARTS = ("settings", "folder", "database", "broker", "redis", "blobs", "nodes")

_ANSWER_S = 5.0
"""Who takes longer is away, as far as a job is concerned."""
_AT_ONCE = 16
"""Nodes asked at the same time."""


def checks(settings: Settings) -> Sequence[tuple[str, Check]]:
    """In the order in which they are worth repairing."""
    database = partial(inspect_database, settings.database)
    s3 = settings.s3
    shown = f"the bucket {s3.bucket}" if s3.bucket else f"the folder {settings.data_dir / 'blobs'}"
    remedy = "look at IMAGEMILL_S3__ENDPOINT, the bucket and its key" if s3.bucket else "look at its rights"
    found: dict[str, Check] = {
        "settings": partial(_settings, settings),
        "folder": partial(check_folder, settings.data_dir),
        "database": partial(check_database, database, shown_database(settings), settings.leader_lease_s),
        "blobs": partial(check_blobs, lambda: open_blobs(settings.data_dir / "blobs", s3), shown, remedy),
        "nodes": partial(_nodes, settings),
    }
    if settings.broker_url:
        found["broker"] = partial(check_answer, "broker", partial(_broker, settings))
    if settings.pubsub_redis_url:
        found["redis"] = partial(check_answer, "redis", partial(_redis, settings.pubsub_redis_url))
    return [(part, found[part]) for part in PARTS if part in found]


def _settings(settings: Settings) -> Iterator[Finding]:
    wrong = unknown_variables(variables())
    for line in wrong:
        yield Finding(Level.WARNING, "settings", f"{line}; correct or remove it")
    for line in settings.profile_problems():
        yield Finding(Level.ERROR, "settings", line)
    if settings.broker_url and settings.s3.bucket is None:
        text = "a fleet with files in a folder: share it between all machines, or set IMAGEMILL_S3__BUCKET"
        yield Finding(Level.WARNING, "settings", text)
    if settings.broker_url and settings.url_signing_key is None:
        text = "several API machines need one IMAGEMILL_URL_SIGNING_KEY, or a URL of one fails at another"
        yield Finding(Level.WARNING, "settings", text)
    if settings.broker_url and settings.database.startswith("sqlite"):
        text = "a broker with SQLite serves one machine: set IMAGEMILL_DATABASE_URL to PostgreSQL for more"
        yield Finding(Level.WARNING, "settings", text)
    if not wrong and not settings.profile_problems():
        yield Finding(Level.OK, "settings", "all names are known")


def _broker(settings: Settings) -> str:
    shown = mask_url(settings.broker or "")
    try:
        from imagemill.dispatch.celery_broker import CeleryBroker, make_app
        from imagemill.dispatch.fleet import BrokerUnavailable
    except ModuleNotFoundError as error:
        raise DoctorCheckFailed(f"{error.name} is missing", "pip install 'imagemill[celery]'") from error
    broker = CeleryBroker(make_app(settings))
    try:
        pending = broker.pending("gpu")
    except BrokerUnavailable as error:
        reason = f"{shown} does not answer ({mask_url(str(error))})"
        raise DoctorCheckFailed(reason, "start it, or correct IMAGEMILL_BROKER_URL") from error
    finally:
        broker.close()
    return f"{shown} answers, {pending} wake-ups for gpu are pending"


def _redis(url: str) -> str:
    shown = mask_url(url)
    try:
        import redis
        from redis.exceptions import RedisError
    except ModuleNotFoundError as error:
        raise DoctorCheckFailed("redis is missing", "pip install 'imagemill[celery]'") from error
    client: Any = redis.Redis.from_url(url, socket_connect_timeout=_ANSWER_S, socket_timeout=_ANSWER_S)
    try:
        client.ping()
    except RedisError as error:
        reason = f"{shown} does not answer ({mask_url(str(error))})"
        raise DoctorCheckFailed(reason, "start it, or correct IMAGEMILL_REDIS_URL") from error
    finally:
        client.close()
    return f"{shown} answers"


def _nodes(settings: Settings) -> Iterator[Finding]:
    """Of the settings, and of the table where the database can be read."""
    stored: Sequence[NodeConfig] = ()
    drained: frozenset[str] = frozenset()
    try:
        stored, drained = _of_table(settings)
    except StorageError as error:
        reason = " ".join(str(error).split())
        yield Finding(Level.ERROR, "nodes", f"their table cannot be read ({reason}): see the database")
    nodes = {node.name: node for node in (*stored, *configured_nodes(settings.comfyui))}

    def looks() -> list[NodeCheck]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(partial(_node, drained=drained), nodes.values()))

    yield from check_nodes(looks, simulated=settings.simulator.enabled == "auto")


def _of_table(settings: Settings) -> tuple[list[NodeConfig], frozenset[str]]:
    """Empty where the schema is not this version's. Raises `StorageError`."""
    if inspect_database(settings.database).revision != REVISION:
        return [], frozenset()
    database = Database(open_engines(settings.database))
    try:
        stored, drained = NodeStore(database).all()
    finally:
        database.close()
    return [node.config for node in stored], frozenset(drained)


def _node(config: NodeConfig, drained: frozenset[str]) -> NodeCheck:
    client = None
    try:
        client = NodeClient(config, connect_s=_ANSWER_S, read_s=_ANSWER_S)
        version = str(client.system_stats()["system"].get("comfyui_version", "of unknown version"))
    except (ComfyError, OSError) as error:  # OSError: a CA file that is not there
        return NodeCheck(config.name, config.url, error=str(error))
    finally:
        if client is not None:
            client.close()
    return NodeCheck(
        config.name, config.url, version=version, draining=config.draining or config.name in drained
    )
