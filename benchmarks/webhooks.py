"""What webhooks cost those who have none, how fast messages go out, and what bad receivers do to good ones.

``python -m benchmarks.webhooks``: on SQLite, and on PostgreSQL from a wheel.
"""

import multiprocessing
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_network
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.processes import Row
from imagemill.accounts.store import Owner
from imagemill.api.webhooks import renderer
from imagemill.bootstrap.stores import build_stores
from imagemill.db import migrate
from imagemill.db.engine import open_engines
from imagemill.db.group_commit import GroupCommit, Tx
from imagemill.domain.access import Role
from imagemill.domain.clock import now_us
from imagemill.domain.signing import CHOICES, UrlSigner
from imagemill.net.url_guard import UrlGuard
from imagemill.settings import WebhookSettings
from imagemill.webhooks.endpoints import EndpointService
from imagemill.webhooks.messages import WebhookDispatcher
from imagemill.webhooks.store import Endpoint
from tests.postgres import server_url
from tests.service.build import add
from tests.webhooks.receivers import dripping, hanging, receiving

SUBMITS = 600
MESSAGES = 400
PATIENCE_S = 60.0


class Bench:
    def __init__(self, url: str) -> None:
        migrate.upgrade(url)
        self.store = build_stores(open_engines(url))
        for name in ("ann", "bob", "carl"):
            self.store.accounts.ensure_owner(Owner(name, Role.USER, now_us()))
        guard = UrlGuard([ip_network("127.0.0.0/8")])
        settings = WebhookSettings(timeout_s=2.0, retry_base_s=0.5, endpoints=100)
        render = renderer(UrlSigner(b"k" * 32, life_s=60), "http://mill.example", lambda _: None)
        self.messenger = WebhookDispatcher(
            self.store.webhooks, self.store.jobs, self.store.accounts, guard, settings, render, poll_s=1.0
        )
        self.webhooks = EndpointService(self.store.webhooks, guard, settings, self.messenger.reset_backoff)
        self.store.database.listen(
            lambda committed: self.messenger.wake() if committed.has_deliveries else None
        )

    def close(self) -> None:
        self.messenger.close()
        self.store.close()

    def submit_us(self, owner: str) -> float:
        """Median of a submission on its own, the shortest transaction there is."""
        took: list[float] = []
        for _ in range(SUBMITS):
            begin = time.perf_counter()
            add(self.store, owner=owner)
            took.append(time.perf_counter() - begin)
        return statistics.median(took) * 1e6

    def test_ms(self, endpoint: Endpoint, count: int) -> tuple[float, float]:
        """From a test message's writing to the receiver's answer: median and 95th of a hundred."""
        took: list[float] = []
        for _ in range(count):
            sent = self.webhooks.test(endpoint.owner, endpoint.id)

            def delivered(id_: str = sent.id) -> int | None:
                return self.webhooks.message(endpoint.owner, endpoint.id, id_)[0].delivered_at

            _wait(lambda: delivered() is not None)
            took.append(((delivered() or 0) - sent.created_at) / 1000)
        return statistics.median(took), statistics.quantiles(took, n=20)[-1]


def measure(url: str, name: str) -> list[Row]:
    bench = Bench(url)
    try:
        return [*_costs(bench, name), *_rates(bench, name), *_crowds(bench, name)]
    finally:
        bench.close()


def _costs(bench: Bench, name: str) -> list[Row]:
    """Turn and turn about is not possible: what is compared is the installation's state."""
    bare = build_stores(bench.store.database.engines)
    bare.database._commits.close()
    bare.database._commits = GroupCommit(
        bench.store.database.engines.writer, lambda _: None, enqueue_webhooks=_insert
    )
    rows: list[Row] = []
    whole, bench.store = bench.store, bare
    before_us = bench.submit_us("ann")
    bench.store = whole
    rows.append((f"{name}: submit, without announcing", f"{before_us:.0f} us", ""))
    rows.append((f"{name}: submit, no endpoint anywhere", f"{bench.submit_us('ann'):.0f} us", ""))
    bench.webhooks.add("bob", "http://127.0.0.1:9/", "", ["job.failed"])
    rows.append((f"{name}: submit, an endpoint of another kind", f"{bench.submit_us('ann'):.0f} us", ""))
    bench.webhooks.add("bob", "http://127.0.0.1:9/", "", CHOICES)
    rows.append((f"{name}: submit, another owner's endpoint", f"{bench.submit_us('ann'):.0f} us", ""))
    rows.append((f"{name}: submit, an endpoint of one's own", f"{bench.submit_us('bob'):.0f} us", ""))
    for endpoint in bench.webhooks.list("bob"):
        bench.webhooks.remove("bob", endpoint.id)
    return rows


def _insert(tx: Tx) -> None:
    tx.insert_now()


def _rates(bench: Bench, name: str) -> list[Row]:
    bench.messenger.start()
    with receiving("127.0.0.1") as receiver:
        endpoint = bench.webhooks.add("carl", receiver.url, "", ["job.created"])
        begin = time.perf_counter()
        for _ in range(MESSAGES):
            add(bench.store, owner="carl")
        _wait(lambda: len(receiver.got) == MESSAGES)
        rate = MESSAGES / (time.perf_counter() - begin)
        bench.webhooks.remove("carl", endpoint.id)
    return [(f"{name}: submitted and told to one endpoint", f"{rate:.0f}/s", "")]


def _crowds(bench: Bench, name: str) -> list[Row]:
    """Receivers of this process share its interpreter with the senders, those of another one its cores."""
    rows: list[Row] = []
    for place, receivers in (("here", _receivers), ("in another process", _elsewhere)):
        with ExitStack() as stack:
            well, *bad = stack.enter_context(receivers())
            good = bench.webhooks.add("bob", well, "", CHOICES)
            p50, p95 = bench.test_ms(good, 100)
            crowd = [_add_bad(bench, f"bad-{place[-7:]}-{number}", url) for number, url in enumerate(bad)]
            crowded50, crowded95 = bench.test_ms(good, 100)
            for endpoint in [good, *crowd]:
                bench.webhooks.remove(endpoint.owner, endpoint.id)
        rows += [
            (f"{name}: delivery alone, receivers {place}, p50 / p95", f"{p50:.1f} / {p95:.1f} ms", ""),
            (f"{name}: beside {len(bad)} bad ones", f"{crowded50:.1f} / {crowded95:.1f} ms", ""),
            (f"{name}: ratio of p95", f"{crowded95 / p95:.2f}", ""),
        ]
    return rows


def _add_bad(bench: Bench, owner: str, url: str) -> Endpoint:
    """With fifty messages that wait for it."""
    bench.store.accounts.ensure_owner(Owner(owner, Role.USER, now_us()))
    endpoint = bench.webhooks.add(owner, url, "", CHOICES)
    for _ in range(50):
        bench.webhooks.test(owner, endpoint.id)
    return endpoint


@contextmanager
def _receivers() -> Iterator[list[str]]:
    """One that is well and eighteen that are not: their URLs."""
    with ExitStack() as stack:
        well = stack.enter_context(receiving("127.0.0.1")).url
        bad = [stack.enter_context(dripping(f"127.0.1.{number}")) for number in range(1, 9)]
        bad += [stack.enter_context(hanging(f"127.0.2.{number}")) for number in range(1, 9)]
        bad += [stack.enter_context(receiving("127.0.3.1", delay_s=1.5)).url, "http://127.0.4.1:9/hook"]
        yield [well, *bad]


@contextmanager
def _elsewhere() -> Iterator[list[str]]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_receive, args=(there,), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.kill()
        process.join()


def _receive(pipe: Connection) -> None:
    with _receivers() as urls:
        pipe.send(urls)
        signal.pause()


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("a message did not arrive")
        time.sleep(0.002)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(f"sqlite:///{Path(folder, 'webhooks.db')}", "SQLite")
        with server_url(Path(folder, "postgres")) as url:
            rows += measure(url, "PostgreSQL")
    width = max(len(name) for name, _, _ in rows)
    for name, value, _ in rows:
        print(f"{name:<{width}}  {value:>16}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
