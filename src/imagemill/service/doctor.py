"""What an installation needs, looked at one by one; each finding says what to do about it."""

import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imagemill.blobs.base import BlobStore
from imagemill.domain.errors import ImagemillError, StorageError
from imagemill.domain.nodes import Finding, Level

Check = Callable[[], Iterator[Finding]]

CLOCK_WARNING_S = 0.5
"""Leases are renewed every second or so: less than this is lost in it."""
FULL_BYTES = 256 * 2**20
"""A database needs this much to grow in until somebody comes."""
LITTLE_BYTES = 4 * 2**30
"""About two thousand pictures of a megapixel."""


class Looked(Protocol):
    """What was seen of a database; see `imagemill.store.looking.Look`."""

    @property
    def kind(self) -> str: ...
    @property
    def revision(self) -> str | None: ...
    @property
    def wanted(self) -> str: ...
    @property
    def ahead_s(self) -> float: ...
    @property
    def took_s(self) -> float: ...


class Unreached(Exception):
    """Why something cannot be used, and what to do."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}")


def run(checks: Sequence[tuple[str, Check]]) -> Iterator[Finding]:
    """One after the other; a check that cannot go on ends with its error."""
    for subject, check in checks:
        try:
            yield from check()
        except (ImagemillError, Unreached) as error:
            yield Finding(Level.ERROR, subject, str(error))


def check_database(look: Callable[[], Looked], shown: str, lease_s: float) -> Iterator[Finding]:
    """``shown``: its address without a password; ``lease_s``: the leading scheduler's, which clocks bound."""
    try:
        seen = look()
    except StorageError as error:
        reason = " ".join(str(error).split())
        raise Unreached(
            f"{shown} does not answer ({reason})",
            "start it, or correct IMAGEMILL_DATABASE_URL",
        ) from error
    took = f" in {seen.took_s * 1000:.1f} ms" if seen.took_s else ""
    yield Finding(Level.OK, "database", f"{shown} answers{took}" if seen.revision else f"{shown} can be used")
    yield _revision(seen)
    if seen.kind != "sqlite":
        yield _clock(seen.ahead_s, lease_s)


def _revision(seen: Looked) -> Finding:
    if seen.revision == seen.wanted:
        return Finding(Level.OK, "revision", f"{seen.revision}, as this version wants it")
    if seen.revision is None:
        return Finding(Level.WARNING, "revision", "it is empty: run imagemill migrate, or start a server")
    if seen.revision < seen.wanted:
        text = f"{seen.revision}, and this version wants {seen.wanted}: run imagemill migrate"
        return Finding(Level.WARNING, "revision", text)
    text = f"{seen.revision} is of a newer version (this one knows {seen.wanted}): update this machine"
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
        raise Unreached(f"{shown}: {error}", remedy) from error
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
        raise Unreached(f"{folder}: {error.strerror or error}", remedy) from error
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
    """Something that answers with a sentence, or raises `Unreached`."""
    yield Finding(Level.OK, subject, ask())


@dataclass(frozen=True, slots=True)
class NodeLook:
    """A node and whether it answers now."""

    name: str
    url: str
    trouble: str = ""
    version: str = ""
    draining: bool = False


def check_nodes(looks: Callable[[], Sequence[NodeLook]], *, simulated: bool) -> Iterator[Finding]:
    """A node that is away is a warning while another one works; without any that works it is an error."""
    nodes = looks()
    if not nodes:
        what = "the simulator draws" if simulated else "jobs will wait"
        text = f"there is no ComfyUI node, so {what}: imagemill nodes add NAME http://HOST:8188"
        yield Finding(Level.WARNING, "nodes", text)
        return
    level = Level.WARNING if any(not node.trouble for node in nodes) else Level.ERROR
    for node in nodes:
        if node.trouble:
            text = f"{node.name} ({node.url}) {node.trouble}; look closer: imagemill nodes doctor {node.name}"
            yield Finding(level, "nodes", text)
        else:
            note = ", drained" if node.draining else ""
            yield Finding(Level.OK, "nodes", f"{node.name} ({node.url}) is ComfyUI {node.version}{note}")
