"""Looking after a node, in a thread of its own: a node that hangs must not keep others from being checked."""

import logging
import threading
from collections.abc import Callable, Sequence

from imagemill.backends.comfyui.errors import ComfyError
from imagemill.backends.comfyui.node import NodeConnection, read_system_stats
from imagemill.graphs.errors import InvalidCatalogue
from imagemill.graphs.json_access import sequence

log = logging.getLogger(__name__)

_TWIN_CHECKS = 3
"""How often a node is compared with each other one after it may have been restarted."""
CLOSE_S = 2.0
"""How long the end of a node's last check and the tidying up of its history are waited for."""
UNFOLLOWED_S = 120.0
"""A prompt is followed within milliseconds of being sent, or never by this process."""
_IDLE_POLLS = 2
"""Checks in a row that must see prompts waiting and none running."""

Peers = Callable[[], Sequence[NodeConnection]]
"""All nodes in the order they were named."""


class NodeHealthMonitor:
    def __init__(self, connection: NodeConnection, peers: Peers) -> None:
        self.connection = connection
        self._peers = peers
        self._closed = threading.Event()
        self._idle_polls = 0
        self._compared: dict[str, int] = {}
        self.started = False
        self._thread = threading.Thread(
            target=self._run, name=f"imagemill-health-{connection.name}", daemon=True
        )

    def start(self) -> None:
        self.started = True
        self._thread.start()

    def stop(self) -> None:
        self._closed.set()

    def join(self) -> None:
        """After `stop`. Does not wait for a check that hangs: its thread ends with it."""
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self.check()
            except Exception:
                log.exception("the health check of %s met a bug and goes on", self.connection.name)
            self._closed.wait(self.connection.settings.health_s)
        self._tidy(everything=True)
        self.connection.close()

    def check(self) -> None:
        connection = self.connection
        was_well = not connection.problem
        try:
            self._examine()
        except (ComfyError, InvalidCatalogue) as error:
            if not self._closed.is_set():
                connection.mark_unreachable(error)
        if was_well and connection.problem:
            log.warning("%s", connection.problem)
        elif not was_well and not connection.problem:
            log.info(
                "%s is well: ComfyUI %s", connection.name, connection.vitals.version or "of unknown version"
            )

    def _examine(self) -> None:
        connection = self.connection
        connection.vitals = read_system_stats(connection.client.system_stats())
        if not connection.reachable:
            connection.stuck = False
        self._check_for_restart()
        if (
            connection.inventory is None
            or connection.clock() - connection.stock_at > connection.settings.catalogue_s
        ):
            connection.read_inventory()
        connection.mark_reachable()
        connection.duplicate_of = self._duplicate_of()
        if connection.duplicate_of:
            return
        connection.socket.start()
        self._check_for_stuck_queue()
        connection.breaker.probe()
        self._drop_unfollowed()
        self._remove_abandoned()
        self._tidy()

    def _check_for_restart(self) -> None:
        """A restarted node has forgotten its history, and perhaps has other models now."""
        connection = self.connection
        if not connection.maybe_restarted:
            return
        marker = connection.history_probe
        if marker is None or connection.client.history(marker) is None:
            connection.unload()
            connection.forget_uploads()
            connection.inventory = None if connection.inventory is None else connection.read_inventory()
            connection.history_probe = None
        self._compared.clear()
        connection.maybe_restarted = False

    def _check_for_stuck_queue(self) -> None:
        connection = self.connection
        quiet_s = connection.clock() - connection.heard_at
        if not connection.stuck and (not connection.flights or quiet_s < connection.settings.wedged_s):
            self._idle_polls = 0
            return
        queue = connection.client.queue()
        waiting = {str(sequence(item)[1]) for item in sequence(queue["queue_pending"])}
        if sequence(queue["queue_running"]):
            self._idle_polls, connection.stuck, connection.heard_at = 0, False, connection.clock()
        elif not connection.stuck and not waiting.isdisjoint(connection.flights):
            self._idle_polls += 1
            if self._idle_polls >= _IDLE_POLLS:
                self._mark_stuck(waiting)

    def _mark_stuck(self, waiting: set[str]) -> None:
        connection = self.connection
        connection.stuck, self._idle_polls = True, 0
        ours = [reference for reference in waiting if reference in connection.flights]
        connection.client.delete_pending(ours)
        for reference in ours:
            if (prompt_run := connection.flights.get(reference)) is not None:
                prompt_run.notify(connection.problem)

    def _duplicate_of(self) -> NodeConnection | None:
        """An earlier node that is this server."""
        connection = self.connection
        for other in self._peers():
            if other is connection:
                return None
            if other.config.url == connection.config.url or other is connection.duplicate_of:
                return other
            if other.history_probe is None or other.vitals.fingerprint != connection.vitals.fingerprint:
                continue
            checks = self._compared.get(other.name, 0)
            if checks < _TWIN_CHECKS and not other.duplicate_of:
                self._compared[other.name] = checks + 1
                if connection.client.history(other.history_probe) is not None:
                    return other
        return None

    def _drop_unfollowed(self) -> None:
        """Sent, and its sender failed before it followed: its next attempt finds it on the node."""
        connection = self.connection
        with connection.lock:
            due = connection.clock() - UNFOLLOWED_S
            for prompt_run in tuple(connection.flights.values()):
                if prompt_run.followers <= 0 and prompt_run.sent_at < due:
                    del connection.flights[prompt_run.reference]

    def _remove_abandoned(self) -> None:
        """Prompts that were given up while it was away are not rendered for nobody."""
        connection = self.connection
        given_up = list(connection.abandoned)
        if not given_up:
            return
        connection.client.delete_pending(given_up)
        for item in sequence(connection.client.queue()["queue_running"]):
            reference = str(sequence(item)[1])
            if reference in connection.abandoned:
                connection.client.interrupt(reference)
        for reference in given_up:
            connection.abandoned.pop(reference, None)
            connection.collect(reference)

    def _tidy(self, *, everything: bool = False) -> None:
        """Take collected prompts out of its history, many in one request."""
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
            log.debug("%s keeps old history: %s", connection.name, error)
            return
        with connection.lock:
            for reference in gone:
                connection.collected.pop(reference, None)
