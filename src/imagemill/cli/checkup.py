"""What `imagemill doctor` looks at, joined from the settings: one check a part of the installation."""

import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from imagemill.backends.comfyui.faults import WireError
from imagemill.backends.comfyui.settings import configured
from imagemill.backends.comfyui.wire import NodeClient
from imagemill.blobs.opening import open_blobs
from imagemill.cli.building import shown_database
from imagemill.config import PREFIX, Settings, unknown
from imagemill.domain.errors import StorageError
from imagemill.domain.nodes import Finding, Level, NodeConfig
from imagemill.service import doctor
from imagemill.service.doctor import Check, NodeLook, Unreached
from imagemill.store.engine import open_database
from imagemill.store.looking import look
from imagemill.store.schema import REVISION
from imagemill.store.store import Store

PARTS = ("settings", "folder", "database", "broker", "redis", "blobs", "nodes")

_CREDENTIALS = re.compile(r"//[^/@]*@")
_ANSWER_S = 5.0
"""Who takes longer is away, as far as a job is concerned."""
_AT_ONCE = 16
"""Nodes asked at the same time."""


def checks(settings: Settings) -> Sequence[tuple[str, Check]]:
    """In the order in which they are worth repairing."""
    database = partial(look, settings.database)
    s3 = settings.s3
    shown = f"the bucket {s3.bucket}" if s3.bucket else f"the folder {settings.data_dir / 'blobs'}"
    remedy = "look at IMAGEMILL_S3__ENDPOINT, the bucket and its key" if s3.bucket else "look at its rights"
    found: dict[str, Check] = {
        "settings": partial(_settings, settings),
        "folder": partial(doctor.check_folder, settings.data_dir),
        "database": partial(
            doctor.check_database, database, shown_database(settings), settings.leader_lease_s
        ),
        "blobs": partial(
            doctor.check_blobs, lambda: open_blobs(settings.data_dir / "blobs", s3), shown, remedy
        ),
        "nodes": partial(_nodes, settings),
    }
    if settings.broker_url:
        found["broker"] = partial(doctor.check_answer, "broker", partial(_broker, settings))
    if settings.news_url:
        found["redis"] = partial(doctor.check_answer, "redis", partial(_redis, settings.news_url))
    return [(part, found[part]) for part in PARTS if part in found]


def _settings(settings: Settings) -> Iterator[Finding]:
    wrong = [*unknown({*os.environ, *_of_files()})]
    for line in wrong:
        yield Finding(Level.WARNING, "settings", f"{line}; correct or remove it")
    if settings.broker_url and settings.s3.bucket is None:
        text = "a fleet with files in a folder: share it between all machines, or set IMAGEMILL_S3__BUCKET"
        yield Finding(Level.WARNING, "settings", text)
    if settings.broker_url and settings.url_signing_key is None:
        text = "several API machines need one IMAGEMILL_URL_SIGNING_KEY, or a URL of one fails at another"
        yield Finding(Level.WARNING, "settings", text)
    if settings.broker_url and settings.database.startswith("sqlite"):
        text = "a broker with SQLite serves one machine: set IMAGEMILL_DATABASE_URL to PostgreSQL for more"
        yield Finding(Level.WARNING, "settings", text)
    if not wrong:
        yield Finding(Level.OK, "settings", "all names are known")


def _of_files() -> set[str]:
    """The names in ``.env`` and ``imagemill.toml`` where they are read: in the folder one starts in."""
    from dotenv import dotenv_values

    written = {name.upper() for name in dotenv_values(".env") if name.upper().startswith(PREFIX)}
    toml = Path("imagemill.toml")
    if toml.is_file():
        written |= set(_flat(tomllib.loads(toml.read_text(encoding="utf-8")), PREFIX))
    return written


def _flat(table: dict[str, Any], prefix: str) -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name.upper()}__")  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield f"{prefix}{name.upper()}"


def _plain(url: str) -> str:
    return _CREDENTIALS.sub("//***@", url)


def _broker(settings: Settings) -> str:
    shown = _plain(settings.broker_url or "")
    try:
        from imagemill.dispatch.brokered import CeleryBroker, make_app
        from imagemill.dispatch.tokens import BrokerAway
    except ModuleNotFoundError as error:
        raise Unreached(f"{error.name} is missing", "pip install 'imagemill[celery]'") from error
    broker = CeleryBroker(make_app(settings))
    try:
        pending = broker.pending("gpu")
    except BrokerAway as error:
        reason = f"{shown} does not answer ({_plain(str(error))})"
        raise Unreached(reason, "start it, or correct IMAGEMILL_BROKER_URL") from error
    finally:
        broker.close()
    return f"{shown} answers, {pending} wake-ups for gpu are pending"


def _redis(url: str) -> str:
    shown = _plain(url)
    try:
        import redis
        from redis.exceptions import RedisError
    except ModuleNotFoundError as error:
        raise Unreached("redis is missing", "pip install 'imagemill[celery]'") from error
    client: Any = redis.Redis.from_url(url, socket_connect_timeout=_ANSWER_S, socket_timeout=_ANSWER_S)
    try:
        client.ping()
    except RedisError as error:
        reason = f"{shown} does not answer ({_plain(str(error))})"
        raise Unreached(reason, "start it, or correct IMAGEMILL_REDIS_URL") from error
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
    nodes = {node.name: node for node in (*stored, *configured(settings.comfyui))}

    def looks() -> list[NodeLook]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(partial(_node, drained=drained), nodes.values()))

    yield from doctor.check_nodes(looks, simulated=settings.simulator.enabled == "auto")


def _of_table(settings: Settings) -> tuple[list[NodeConfig], frozenset[str]]:
    """Empty where the schema is not this version's. Raises `StorageError`."""
    if look(settings.database).revision != REVISION:
        return [], frozenset()
    store = Store(open_database(settings.database))
    try:
        stored, drained = store.nodes()
    finally:
        store.close()
    return [node.config for node in stored], frozenset(drained)


def _node(config: NodeConfig, drained: frozenset[str]) -> NodeLook:
    client = None
    try:
        client = NodeClient(config, connect_s=_ANSWER_S, read_s=_ANSWER_S)
        version = str(client.system_stats()["system"].get("comfyui_version", "of unknown version"))
    except (WireError, OSError) as error:  # OSError: a CA file that is not there
        return NodeLook(config.name, config.url, trouble=str(error))
    finally:
        if client is not None:
            client.close()
    return NodeLook(
        config.name, config.url, version=version, draining=config.draining or config.name in drained
    )
