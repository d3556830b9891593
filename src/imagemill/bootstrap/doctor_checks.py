"""The checks of `imagemill doctor`, built from the settings: one for each part of the installation."""

import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from imagemill.accounts.store import AccountStore
from imagemill.backends.comfyui.client import NodeClient
from imagemill.backends.comfyui.errors import ComfyError
from imagemill.backends.comfyui.settings import configured_nodes
from imagemill.blobs.base import BlobStore
from imagemill.bootstrap.build import open_blobs
from imagemill.bootstrap.plugins import installed_plugins, own_settings
from imagemill.bootstrap.settings_check import ignored_variables
from imagemill.config import Settings
from imagemill.db.database import Database
from imagemill.db.engine import foreign_sentence, inspect_database, open_engines
from imagemill.db.tables import REVISION
from imagemill.domain.clock import now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import ImagemillError, StorageError
from imagemill.domain.nodes import Finding, Level, NodeConfig
from imagemill.jobs.capacity import NO_SCHEDULER, NO_WORKER
from imagemill.jobs.leadership import ProcessLock
from imagemill.jobs.processes import Process, ProcessStore
from imagemill.nodes.store import NodeStore
from imagemill.products.base import installed_products
from imagemill.settings import mask_url

Check = Callable[[], Iterator[Finding]]

CLOCK_WARNING_S = 0.5
"""Leases are renewed about every second, so a smaller difference of the clocks does no harm."""
MIN_FREE_BYTES = 256 * 2**20
"""The free bytes a database needs to grow in until an operator makes room."""
LOW_FREE_BYTES = 4 * 2**30
"""About two thousand pictures of a megapixel."""


class DatabaseView(Protocol):
    """The state of a database; see `imagemill.db.engine.DatabaseStatus`."""

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
    @property
    def foreign_tables(self) -> Sequence[str]: ...
    @property
    def is_pooled(self) -> bool: ...


class DoctorCheckFailed(Exception):
    """A part cannot be used, for ``reason``; ``remedy`` says how to repair it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}")


def run_checks(checks: Sequence[tuple[str, Check]]) -> Iterator[Finding]:
    """Run the checks one after the other; a check that cannot go on ends with an error."""
    for subject, check in checks:
        try:
            yield from check()
        except (ImagemillError, DoctorCheckFailed) as error:
            yield Finding(Level.ERROR, subject, str(error))


def check_database(
    inspect: Callable[[], DatabaseView], address: str, lease_s: float, *, knows_pooler: bool = False
) -> Iterator[Finding]:
    """Check that the database answers, its schema and its clock.

    ``address`` is shown and has no password; ``lease_s`` is the leader's lease, the limit for clocks.
    ``knows_pooler``: the settings say that it is behind a pooler.
    """
    try:
        seen = inspect()
    except StorageError as error:
        reason = " ".join(str(error).split())
        raise DoctorCheckFailed(
            f"{address} does not answer ({reason})",
            "start it, or correct IMAGEMILL_DATABASE_URL",
        ) from error
    took = f" in {seen.round_trip_s * 1000:.1f} ms" if seen.round_trip_s else ""
    yield Finding(
        Level.OK, "database", f"{address} answers{took}" if seen.revision else f"{address} can be used"
    )
    if seen.is_pooled and not knows_pooler:
        text = "a connection pooler is before PostgreSQL: set IMAGEMILL_DATABASE_POOLER=true"
        yield Finding(Level.WARNING, "database", text)
    yield _revision(seen)
    if seen.kind != "sqlite":
        yield _clock(seen.clock_ahead_s, lease_s)


def _revision(seen: DatabaseView) -> Finding:
    if seen.revision == seen.required_revision:
        return Finding(Level.OK, "revision", f"{seen.revision}, the revision of this version")
    if seen.foreign_tables:
        return Finding(Level.ERROR, "revision", foreign_sentence(seen.foreign_tables, seen.kind))
    if seen.revision is None:
        return Finding(
            Level.WARNING, "revision", "the database is empty: run imagemill migrate, or start a server"
        )
    if seen.revision < seen.required_revision:
        text = f"{seen.revision}, but this version needs {seen.required_revision}: run imagemill migrate"
        return Finding(Level.WARNING, "revision", text)
    known = seen.required_revision
    text = f"{seen.revision} is from a newer version (this one knows {known}): update this machine"
    return Finding(Level.ERROR, "revision", text)


def _clock(ahead_s: float, lease_s: float) -> Finding:
    text = f"this machine is {abs(ahead_s):.3f} s {'ahead of' if ahead_s >= 0 else 'behind'} the database"
    if abs(ahead_s) >= lease_s:
        remedy = f"start time synchronisation on both machines; leases of {lease_s:g} s do not work like this"
        return Finding(Level.ERROR, "clock", f"{text}: {remedy}")
    if abs(ahead_s) >= CLOCK_WARNING_S:
        return Finding(Level.WARNING, "clock", f"{text}: check time synchronisation on both machines")
    return Finding(Level.OK, "clock", text)


def check_blobs(open_store: Callable[[], BlobStore], name: str, remedy: str) -> Iterator[Finding]:
    """Write a test file, read it back and delete it."""
    data = secrets.token_bytes(64)
    key = f"health/doctor-{data[:8].hex()}"
    started = time.perf_counter()
    try:
        store = open_store()
        store.put(key, data, "application/octet-stream")
        try:
            same = store.get(key) == data
        finally:
            store.delete([key])
    except (ImagemillError, OSError) as error:
        raise DoctorCheckFailed(f"{name}: {error}", remedy) from error
    took = f"{(time.perf_counter() - started) * 1000:.0f} ms"
    if same:
        yield Finding(Level.OK, "blobs", f"{name}: a test file was written, read and deleted in {took}")
    else:
        text = f"{name} returned other bytes than were written: {remedy}"
        yield Finding(Level.ERROR, "blobs", text)


def check_folder(folder: Path) -> Iterator[Finding]:
    """Check permissions and free space of the data folder, which is created as a server would do."""
    probe = folder / f".doctor-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"imagemill")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        user = f"user {os.getuid()}" if hasattr(os, "getuid") else "this user"
        remedy = f"make {user} its owner, or set IMAGEMILL_DATA_DIR to another folder"
        raise DoctorCheckFailed(f"{folder}: {error.strerror or error}", remedy) from error
    yield check_free_space(folder, free)
    secrets_folder = folder / "secrets"
    if os.name == "posix" and secrets_folder.is_dir() and stat.S_IMODE(secrets_folder.stat().st_mode) & 0o077:
        text = f"other users can read {secrets_folder}: chmod 700 {secrets_folder}"
        yield Finding(Level.WARNING, "rights", text)


def check_free_space(folder: Path, free: int) -> Finding:
    text = f"{folder} is writable, {free / 2**30:.1f} GB free"
    if free < MIN_FREE_BYTES:
        return Finding(Level.ERROR, "folder", f"{text}: free some space, the database cannot grow")
    if free < LOW_FREE_BYTES:
        return Finding(
            Level.WARNING, "folder", f"{text}: free some space, or lower IMAGEMILL_JOB__RETENTION_DAYS"
        )
    return Finding(Level.OK, "folder", text)


def check_answer(subject: str, ask: Callable[[], str]) -> Iterator[Finding]:
    """Check a part with ``ask``, which returns a sentence or raises `DoctorCheckFailed`."""
    yield Finding(Level.OK, subject, ask())


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """A node and whether it answers now; ``error`` is empty if it does."""

    name: str
    url: str
    error: str = ""
    version: str = ""
    draining: bool = False


def check_nodes(ask_nodes: Callable[[], Sequence[NodeCheck]], *, simulated: bool) -> Iterator[Finding]:
    """Check that nodes answer: one that does not is a warning, an error if no node answers."""
    nodes = ask_nodes()
    if not nodes:
        effect = "the simulator makes the pictures" if simulated else "jobs will wait"
        text = f"there is no ComfyUI node, so {effect}: imagemill nodes add NAME http://HOST:8188"
        yield Finding(Level.WARNING, "nodes", text)
        return
    level = Level.WARNING if any(not node.error for node in nodes) else Level.ERROR
    for node in nodes:
        if node.error:
            text = f"{node.name} ({node.url}) {node.error}; for details: imagemill nodes doctor {node.name}"
            yield Finding(level, "nodes", text)
        else:
            note = ", draining" if node.draining else ""
            yield Finding(Level.OK, "nodes", f"{node.name} ({node.url}) runs ComfyUI {node.version}{note}")


def check_processes(roles: Sequence[Collection[str]]) -> Iterator[Finding]:
    """Check that running processes, given by their roles, have all roles together; none may run."""
    if not roles:
        yield Finding(Level.OK, "processes", "no process is running: start `imagemill serve`")
        return
    missing = {"worker": NO_WORKER, "scheduler": NO_SCHEDULER}
    for role, text in missing.items():
        if not any(role in each for each in roles):
            yield Finding(Level.WARNING, "processes", text)
    running = sorted(", ".join(each) for each in roles)
    yield Finding(Level.OK, "processes", f"{len(roles)} running: {'; '.join(running)}")


def check_task_keys(key_owners: Collection[str], task_owners: Collection[str]) -> Iterator[Finding]:
    """Check that the owners of what Celery tasks make have a key; without any key none is needed."""
    for owner in sorted(set(task_owners).difference(key_owners)) if key_owners else ():
        text = f"no key belongs to {owner}, so none can read what the Celery tasks make for this owner"
        remedy = f"imagemill keys create --owner {owner}, or set IMAGEMILL_OWNER to the owner of a key"
        yield Finding(Level.WARNING, "keys", f"{text}: {remedy}")


PARTS = (
    "settings",
    "plugins",
    "folder",
    "database",
    "keys",
    "broker",
    "redis",
    "blobs",
    "nodes",
    "processes",
)

_TIMEOUT_S = 5.0
"""A job would not wait longer for a broker, Redis or a node."""
_CONCURRENT_NODES = 16
"""Nodes that are checked at the same time."""


def list_checks(settings: Settings) -> Sequence[tuple[str, Check]]:
    """Return the checks, in the order in which faults should be repaired."""
    database = partial(inspect_database, settings.database)
    s3 = settings.s3
    name = f"the bucket {s3.bucket}" if s3.bucket else f"the folder {settings.data_dir / 'blobs'}"
    remedy = "check IMAGEMILL_S3__ENDPOINT, the bucket and its key" if s3.bucket else "check its permissions"
    found: dict[str, Check] = {
        "settings": partial(_check_settings, settings),
        "plugins": check_plugins,
        "folder": partial(check_folder, settings.data_dir),
        "database": partial(
            check_database,
            database,
            mask_url(settings.database),
            settings.leader_lease_s,
            knows_pooler=settings.database_pooler,
        ),
        "blobs": partial(check_blobs, lambda: open_blobs(settings.data_dir / "blobs", s3), name, remedy),
        "nodes": partial(_check_nodes, settings),
        "processes": partial(_check_processes, settings),
    }
    if settings.broker_url:
        found["keys"] = partial(_check_task_keys, settings)
        found["broker"] = partial(check_answer, "broker", partial(_ask_broker, settings))
    if settings.pubsub_redis_url:
        found["redis"] = partial(check_answer, "redis", partial(_ask_redis, settings.pubsub_redis_url))
    return [(part, found[part]) for part in PARTS if part in found]


def _check_settings(settings: Settings) -> Iterator[Finding]:
    unknown = ignored_variables()
    for line in unknown:
        yield Finding(Level.WARNING, "settings", f"{line}; correct or remove it")
    for line in settings.profile_problems():
        yield Finding(Level.ERROR, "settings", line)
    if settings.broker_url and settings.s3.bucket is None:
        text = "pictures are in a local folder: share it between all machines, or set IMAGEMILL_S3__BUCKET"
        yield Finding(Level.WARNING, "settings", text)
    if settings.broker_url and settings.url_signing_key is None:
        text = (
            "several API machines need the same IMAGEMILL_URL_SIGNING_KEY, or one refuses the URLs of another"
        )
        yield Finding(Level.WARNING, "settings", text)
    if settings.broker_url and settings.database.startswith("sqlite"):
        text = "SQLite works on one machine only: for several set IMAGEMILL_DATABASE_URL to PostgreSQL"
        yield Finding(Level.WARNING, "settings", text)
    if not unknown and not settings.profile_problems():
        yield Finding(Level.OK, "settings", "all settings are valid")


def check_plugins() -> Iterator[Finding]:
    """Check that every entry point can be loaded; our own are not mentioned."""
    names: list[str] = []
    for each in installed_plugins():
        package = f"{each.distribution} {each.version}".strip()
        if each.problem:
            text = f"{each.kind} {each.name} of {package} ({each.target}) cannot be loaded: {each.problem}"
            yield Finding(Level.ERROR, "plugins", f"{text}; correct the package or uninstall it")
        elif each.distribution != "imagemill":
            names.append(f"{each.kind} {each.name} of {package}")
    if names:
        yield Finding(Level.OK, "plugins", ", ".join(names))


def _ask_broker(settings: Settings) -> str:
    address = mask_url(settings.broker or "")
    try:
        from imagemill.dispatch.celery_broker import CeleryBroker, make_app
        from imagemill.dispatch.fleet import BrokerUnavailable
    except ModuleNotFoundError as error:
        raise DoctorCheckFailed(
            f"the package {error.name} is not installed", "pip install 'imagemill[celery]'"
        ) from error
    broker = CeleryBroker(make_app(settings))
    try:
        pending = broker.pending("gpu")
    except BrokerUnavailable as error:
        reason = f"{address} does not answer ({mask_url(str(error))})"
        raise DoctorCheckFailed(reason, "start it, or correct IMAGEMILL_BROKER_URL") from error
    finally:
        broker.close()
    return f"{address} answers, {pending} wake-ups for gpu are pending"


def _ask_redis(url: str) -> str:
    address = mask_url(url)
    try:
        import redis
        from redis.exceptions import RedisError
    except ModuleNotFoundError as error:
        raise DoctorCheckFailed(
            "the package redis is not installed", "pip install 'imagemill[celery]'"
        ) from error
    client: Any = redis.Redis.from_url(url, socket_connect_timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S)
    try:
        client.ping()
    except RedisError as error:
        reason = f"{address} does not answer ({mask_url(str(error))})"
        raise DoctorCheckFailed(reason, "start it, or correct IMAGEMILL_REDIS_URL") from error
    finally:
        client.close()
    return f"{address} answers"


def _check_task_keys(settings: Settings) -> Iterator[Finding]:
    """Check the keys in the database; one that cannot be read is a finding of another check."""
    products = [product for product in installed_products() if product.celery_tasks]
    owners = {each.task_owner(own_settings(each, settings)) or settings.owner for each in products}
    with suppress(StorageError):
        yield from check_task_keys(_read_key_owners(settings), owners)


def _read_key_owners(settings: Settings) -> set[str]:
    """Return the owners of the valid keys; none for another schema's database. Raises `StorageError`."""
    if inspect_database(settings.database).revision != REVISION:
        return set()
    database = Database(open_engines(settings.database))
    try:
        keys = AccountStore(database).keys()
    finally:
        database.close()
    now = now_us()
    return {key.owner for key in keys if key.revoked_at is None and (key.expires_at or now + 1) > now}


def _check_nodes(settings: Settings) -> Iterator[Finding]:
    """Check the nodes of the settings, and those of the table if the database can be read."""
    stored: Sequence[NodeConfig] = ()
    drained: frozenset[str] = frozenset()
    try:
        stored, drained = _read_node_table(settings)
    except StorageError as error:
        reason = " ".join(str(error).split())
        yield Finding(
            Level.ERROR,
            "nodes",
            f"the table of nodes cannot be read ({reason}): see the finding about the database",
        )
    nodes = {node.name: node for node in (*stored, *configured_nodes(settings.comfyui))}

    def ask_nodes() -> list[NodeCheck]:
        with ThreadPoolExecutor(_CONCURRENT_NODES) as pool:
            return list(pool.map(partial(_ask_node, drained=drained), nodes.values()))

    yield from check_nodes(ask_nodes, simulated=settings.simulator.enabled == "auto")


def _check_processes(settings: Settings) -> Iterator[Finding]:
    """Check the processes in the database; one that cannot be read is a finding of another check."""
    with suppress(StorageError):
        if inspect_database(settings.database).revision == REVISION:
            yield from check_processes([each.roles for each in _running_processes(settings)])


def _running_processes(settings: Settings) -> list[Process]:
    """Return the processes that report themselves, without those of this machine that have ended."""
    database = Database(open_engines(settings.database))
    try:
        processes = ProcessStore(database).living()
    finally:
        database.close()
    if not (run := settings.data_dir / "run").is_dir():
        return processes
    lock = ProcessLock(run)
    try:
        dead = lock.dead_processes([each.name for each in processes])
    finally:
        lock.close()
    return [each for each in processes if each.name not in dead]


def _read_node_table(settings: Settings) -> tuple[list[NodeConfig], frozenset[str]]:
    """Return the stored nodes and the names of drained ones.

    Both are empty if the schema is not this version's. Raises `StorageError`.
    """
    if inspect_database(settings.database).revision != REVISION:
        return [], frozenset()
    database = Database(open_engines(settings.database))
    try:
        stored, drained = NodeStore(database).all()
    finally:
        database.close()
    return [node.config for node in stored], frozenset(drained)


def _ask_node(config: NodeConfig, drained: frozenset[str]) -> NodeCheck:
    client = None
    try:
        client = NodeClient(config, connect_s=_TIMEOUT_S, read_s=_TIMEOUT_S)
        version = str(client.system_stats()["system"].get("comfyui_version", "of unknown version"))
    except (ComfyError, OSError) as error:  # OSError: a CA file that is not there
        return NodeCheck(config.name, config.url, error=str(error))
    finally:
        if client is not None:
            client.close()
    return NodeCheck(
        config.name, config.url, version=version, draining=config.draining or config.name in drained
    )
