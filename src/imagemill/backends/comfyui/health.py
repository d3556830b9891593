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
    def __init__(self, link: NodeConnection, peers: Peers) -> None:
        self.link = link
        self._peers = peers
        self._closed = threading.Event()
        self._idle_polls = 0
        self._compared: dict[str, int] = {}
        self.started = False
        self._thread = threading.Thread(target=self._run, name=f"imagemill-health-{link.name}", daemon=True)

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
                log.exception("the health check of %s met a bug and goes on", self.link.name)
            self._closed.wait(self.link.settings.health_s)
        self._tidy(everything=True)
        self.link.close()

    def check(self) -> None:
        link = self.link
        was_well = not link.problem
        try:
            self._examine()
        except (ComfyError, InvalidCatalogue) as error:
            if not self._closed.is_set():
                link.mark_unreachable(error)
        if was_well and link.problem:
            log.warning("%s", link.problem)
        elif not was_well and not link.problem:
            log.info("%s is well: ComfyUI %s", link.name, link.vitals.version or "of unknown version")

    def _examine(self) -> None:
        link = self.link
        link.vitals = read_system_stats(link.client.system_stats())
        if not link.reachable:
            link.stuck = False
        self._check_for_restart()
        if link.inventory is None or link.clock() - link.stock_at > link.settings.catalogue_s:
            link.read_inventory()
        link.mark_reachable()
        link.duplicate_of = self._duplicate_of()
        if link.duplicate_of:
            return
        link.socket.start()
        self._check_for_stuck_queue()
        link.breaker.probe()
        self._drop_unfollowed()
        self._remove_abandoned()
        self._tidy()

    def _check_for_restart(self) -> None:
        """A restarted node has forgotten its history, and perhaps has other models now."""
        link = self.link
        if not link.maybe_restarted:
            return
        marker = link.history_probe
        if marker is None or link.client.history(marker) is None:
            link.unload()
            link.forget_uploads()
            link.inventory = None if link.inventory is None else link.read_inventory()
            link.history_probe = None
        self._compared.clear()
        link.maybe_restarted = False

    def _check_for_stuck_queue(self) -> None:
        link = self.link
        quiet_s = link.clock() - link.heard_at
        if not link.stuck and (not link.flights or quiet_s < link.settings.wedged_s):
            self._idle_polls = 0
            return
        queue = link.client.queue()
        waiting = {str(sequence(item)[1]) for item in sequence(queue["queue_pending"])}
        if sequence(queue["queue_running"]):
            self._idle_polls, link.stuck, link.heard_at = 0, False, link.clock()
        elif not link.stuck and not waiting.isdisjoint(link.flights):
            self._idle_polls += 1
            if self._idle_polls >= _IDLE_POLLS:
                self._mark_stuck(waiting)

    def _mark_stuck(self, waiting: set[str]) -> None:
        link = self.link
        link.stuck, self._idle_polls = True, 0
        ours = [reference for reference in waiting if reference in link.flights]
        link.client.delete_pending(ours)
        for reference in ours:
            if (flight := link.flights.get(reference)) is not None:
                flight.notify(link.problem)

    def _duplicate_of(self) -> NodeConnection | None:
        """An earlier node that is this server."""
        link = self.link
        for other in self._peers():
            if other is link:
                return None
            if other.config.url == link.config.url or other is link.duplicate_of:
                return other
            if other.history_probe is None or other.vitals.fingerprint != link.vitals.fingerprint:
                continue
            checks = self._compared.get(other.name, 0)
            if checks < _TWIN_CHECKS and not other.duplicate_of:
                self._compared[other.name] = checks + 1
                if link.client.history(other.history_probe) is not None:
                    return other
        return None

    def _drop_unfollowed(self) -> None:
        """Sent, and its sender failed before it followed: its next attempt finds it on the node."""
        link = self.link
        with link.lock:
            due = link.clock() - UNFOLLOWED_S
            for flight in tuple(link.flights.values()):
                if flight.followers <= 0 and flight.sent_at < due:
                    del link.flights[flight.reference]

    def _remove_abandoned(self) -> None:
        """Prompts that were given up while it was away are not rendered for nobody."""
        link = self.link
        given_up = list(link.abandoned)
        if not given_up:
            return
        link.client.delete_pending(given_up)
        for item in sequence(link.client.queue()["queue_running"]):
            reference = str(sequence(item)[1])
            if reference in link.abandoned:
                link.client.interrupt(reference)
        for reference in given_up:
            link.abandoned.pop(reference, None)
            link.collect(reference)

    def _tidy(self, *, everything: bool = False) -> None:
        """Take collected prompts out of its history, many in one request."""
        link = self.link
        if not link.reachable:
            return
        due = link.clock() - link.settings.keep_history_s
        with link.lock:
            gone = [reference for reference, at in link.collected.items() if everything or at <= due]
            if everything and link.history_probe is not None:
                gone.append(link.history_probe)
        if not gone:
            return
        try:
            link.client.delete_history(gone)
        except ComfyError as error:
            log.debug("%s keeps old history: %s", link.name, error)
            return
        with link.lock:
            for reference in gone:
                link.collected.pop(reference, None)
