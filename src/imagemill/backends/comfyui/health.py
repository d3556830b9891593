"""Check the health of nodes in turns: a task of the loop for each, and threads that all of them share."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence

from imagemill.backends.comfyui import temporary
from imagemill.backends.comfyui.errors import ComfyError
from imagemill.backends.comfyui.lookup import cancel
from imagemill.backends.comfyui.loop import NodeLoop
from imagemill.backends.comfyui.node import NodeConnection, read_system_stats
from imagemill.backends.comfyui.stuck import StuckNodeCheck
from imagemill.domain.clock import random_fraction
from imagemill.graphs.errors import InvalidCatalogue
from imagemill.graphs.json_access import sequence
from imagemill.graphs.node_models import LOADERS
from imagemill.net.addresses import is_same_server

log = logging.getLogger(__name__)

CLOSE_S = 2.0
"""Longest wait for the end of a node's last check and the clean-up of its history."""
UNFOLLOWED_S = 120.0
"""Age from which a prompt without a follower is dropped; it is followed within milliseconds, or never
here."""
_DUPLICATE_CHECKS = 3
"""Number of comparisons with each other node after a possible restart."""

_SPREAD = 0.2
"""Part of the interval by which checks are earlier at random, so that many nodes are not checked at once."""
REMIND_S = 600.0
"""Seconds after which a problem that lasts is logged again."""

Peers = Callable[[], Sequence[NodeConnection]]
"""All nodes in their configured order."""


class NodeHealthMonitor:
    """Checks one node periodically until it is stopped."""

    def __init__(self, connection: NodeConnection, peers: Peers, loop: NodeLoop) -> None:
        self.connection = connection
        self._peers = peers
        self._loop = loop
        self._closed = False
        self._ended = threading.Event()
        self._stuck_check = StuckNodeCheck(connection)
        self._files_at = 0.0
        self._was_healthy = False
        self._warned_at: float | None = None
        self._compared: dict[str, int] = {}
        self._same_address: dict[str, bool] = {}
        self.started = False

    def start(self) -> None:
        self.started = True
        if self._loop.start_task(self._run()) is None:
            self._ended.set()

    def stop(self) -> None:
        self._closed = True
        self.connection.check_soon()

    def join(self) -> None:
        """Wait for the end after `stop`, but not for a check that hangs."""
        self._ended.wait(CLOSE_S)

    async def _run(self) -> None:
        attention = self.connection.listen_for_attention()
        while not self._closed:
            attention.clear()
            await self._loop.in_thread(self._check_safely)
            pause_s = self.connection.settings.health_s * (1 - _SPREAD * random_fraction())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await attention.wait()
        await self._loop.in_thread(self._end)

    def _check_safely(self) -> None:
        try:
            self.check()
        except Exception:
            log.exception("a bug in the health check of %s; it continues", self.connection.name)

    def _end(self) -> None:
        try:
            self._clean_history(everything=True)
            self.connection.close()
        finally:
            self._ended.set()

    def check(self) -> None:
        connection = self.connection
        try:
            self._check_all()
        except (ComfyError, InvalidCatalogue) as error:
            if not self._closed:
                connection.mark_unreachable(error)
        self._log_state()

    def _log_state(self) -> None:
        """Log the start of a problem, also the first one, its end, and seldom that it lasts."""
        connection, problem, now = self.connection, self.connection.problem, time.monotonic()
        if problem and (self._warned_at is None or now - self._warned_at >= REMIND_S):
            lasts = " (still)" if self._warned_at is not None else ""
            log.warning("%s%s", problem, lasts)
            self._warned_at = now
        elif not problem and (self._warned_at is not None or not self._was_healthy):
            version = connection.stats.version or "of unknown version"
            log.info("%s is healthy: ComfyUI %s", connection.name, version)
            self._warned_at, self._was_healthy = None, True

    def _check_all(self) -> None:
        connection = self.connection
        connection.stats = read_system_stats(connection.client.system_stats())
        self._check_for_restart()
        if (
            connection.inventory is None
            or connection.inventory_expired
            or connection.clock() - connection.inventory_at > connection.settings.catalogue_s
        ):
            connection.read_inventory()
        self._check_for_new_files()
        # First, so that a second name of a server never counts as healthy.
        connection.duplicate_of = self._duplicate_of()
        connection.mark_reachable()
        if connection.duplicate_of:
            return
        connection.socket.start()
        self._drop_unfollowed()
        self._remove_abandoned()
        temporary.erase_all(connection)
        self._stuck_check.check()
        connection.breaker.probe()
        self._clean_history()
        connection.file_headers.read_some(connection.models())

    def _check_for_new_files(self) -> None:
        """Read the inventory again when a core loader lists other files; its list costs little."""
        connection = self.connection
        inventory, now = connection.inventory, connection.clock()
        if (
            inventory is None
            or now - max(connection.inventory_at, self._files_at) < connection.settings.files_s
        ):
            return
        self._files_at = now
        for class_type, input_ in (loader for loaders in LOADERS.values() for loader in loaders):
            known = inventory.catalogue.options(class_type, input_)
            if known is not None and known != connection.client.options(class_type, input_):
                connection.read_inventory()
                return

    def _check_for_restart(self) -> None:
        """Detect a restart by a lost history; then uploads are gone and the models may have changed."""
        connection = self.connection
        if not connection.maybe_restarted:
            return
        probe = connection.history_probe
        if probe is None or connection.client.history(probe) is None:
            connection.mark_unloaded()
            connection.forget_uploads()
            connection.has_jobs_api = None
            connection.inventory = None if connection.inventory is None else connection.read_inventory()
            connection.history_probe = None
        self._compared.clear()
        self._same_address.clear()
        connection.maybe_restarted = False

    def _duplicate_of(self) -> NodeConnection | None:
        """An earlier configured node that is the same server."""
        connection = self.connection
        for other in self._peers():
            if other is connection:
                return None
            if other is connection.duplicate_of or self._has_address_of(other):
                return other
            if other.history_probe is None or other.stats.fingerprint != connection.stats.fingerprint:
                continue
            checks = self._compared.get(other.name, 0)
            if checks < _DUPLICATE_CHECKS and not other.duplicate_of:
                self._compared[other.name] = checks + 1
                if connection.client.history(other.history_probe) is not None:
                    return other
        return None

    def _has_address_of(self, other: NodeConnection) -> bool:
        """Whether both addresses are of one server; looked up once and after each possible restart."""
        url = other.config.url
        if url not in self._same_address:
            self._same_address[url] = is_same_server(url, self.connection.config.url)
        return self._same_address[url]

    def _drop_unfollowed(self) -> None:
        """Drop prompts whose sender failed before following; the next attempt finds them on the node."""
        connection = self.connection
        with connection.lock:
            due = connection.clock() - UNFOLLOWED_S
            for prompt_run in tuple(connection.prompt_runs.values()):
                if prompt_run.followers <= 0 and prompt_run.sent_at < due:
                    del connection.prompt_runs[prompt_run.reference]

    def _remove_abandoned(self) -> None:
        """Remove prompts that were given up. A running one stays listed until its interruption has worked."""
        connection = self.connection
        given_up = list(connection.abandoned)
        if not given_up:
            return
        if connection.has_jobs_api:
            for reference in given_up:
                if not connection.mark_interrupted(reference) or not cancel(connection, reference):
                    self._forget_abandoned(reference)
            return
        connection.client.delete_pending(given_up)
        running = {str(sequence(item)[1]) for item in sequence(connection.client.queue()["queue_running"])}
        for reference in given_up:
            if reference in running and connection.mark_interrupted(reference):
                connection.client.interrupt(reference)
            else:
                self._forget_abandoned(reference)

    def _forget_abandoned(self, reference: str) -> None:
        self.connection.abandoned.pop(reference, None)
        self.connection.mark_collected(reference)

    def _clean_history(self, *, everything: bool = False) -> None:
        """Delete collected prompts from the node's history, many in one request."""
        connection = self.connection
        if not connection.reachable:
            return
        due = connection.clock() - connection.settings.keep_history_s
        with connection.lock:
            gone = [reference for reference, at in connection.collected.items() if everything or at <= due]
            if everything and connection.history_probe is not None:
                gone.append(connection.history_probe)
        if not gone:
            return
        try:
            connection.client.delete_history(gone)
        except ComfyError as error:
            log.debug("the history of %s could not be cleaned: %s", connection.name, error)
            return
        with connection.lock:
            for reference in gone:
                connection.collected.pop(reference, None)
