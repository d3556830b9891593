"""Figures of the console: ``python -m tests.console.proof_page`` (also in ``make web-proof``).

Chromium has one core for the first load. Prints a table for each of: the time until the prompt can be typed
in, bytes and requests of each screen, from a job's event to its row, and the memory after an hour's worth of
events. Names of parts as arguments run these only: first_load, screens, event_to_pixel, hour.
"""

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

from imagemill.config import Settings
from tests.conftest import Server, image_job, running_server
from tests.console.browser import chromium, visitor
from tests.console.measures import SEEN, Jobs, Memory, memory, play, queue_page, traffic
from tests.console.test_accessibility import PATHS

PROFILES = 5
EVENTS = 200
HOUR = 36_000
"""Events of an hour in which ten happen each second."""
_READY = """
const look = () => {
  const box = document.querySelector(".make-form textarea, .make-prompt textarea, main textarea");
  if (box && !box.disabled) window.readyAt = performance.now();
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
_WATCH = """
() => {
  window.painted = {};
  const look = () => {
    for (const badge of document.querySelectorAll(".queue-list .status-canceled")) {
      const id = badge.closest(".queue-row").querySelector("a").pathname.split("/").pop();
      if (id in window.painted) continue;
      window.painted[id] = null;
      requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => { window.painted[id] = performance.timeOrigin + performance.now(); };
        port2.postMessage(null);
      });
    }
  };
  new MutationObserver(look).observe(document.querySelector(".queue-list"), {
    subtree: true, childList: true, attributes: true, attributeFilter: ["class"],
  });
}
"""

Row = tuple[str, str, str]


@contextmanager
def one_core() -> Iterator[None]:
    """Programs started within run on one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    yield
    os.sched_setaffinity(0, cores)


def share(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def first_load(browser: Browser, server: Server) -> list[Row]:
    """The first load of Make, with an empty cache each time."""
    took: list[float] = []
    loaded = ""
    for _ in range(PROFILES):
        with visitor(browser, server.url) as reader:
            reader.context.add_init_script(SEEN)
            reader.context.add_init_script(_READY)
            page = reader.context.new_page()
            with traffic(page) as counted:
                page.goto(server.url + "/")
                page.wait_for_function("() => window.readyAt")
                page.wait_for_load_state("load")
                page.wait_for_timeout(500)  # what loads later counts too
            took.append(page.evaluate("window.readyAt"))
            loaded = str(counted)
    times = f"{statistics.median(took):.0f} ms ({min(took):.0f} to {max(took):.0f})"
    return [
        ("first load on one core until the prompt can be typed in", times, "below 1500 ms"),
        ("the same: requests and bytes", loaded, "files below 120 KB"),
    ]


def screens(browser: Browser, server: Server) -> list[Row]:
    """Each screen opened from the menu after the first load, in a profile of its own."""
    rows: list[Row] = []
    for path in PATHS:
        if path == "/":
            continue
        with visitor(browser, server.url) as reader:
            reader.context.add_init_script(SEEN)
            page = reader.open("/")
            page.wait_for_selector("main textarea")
            page.wait_for_load_state("load")
            page.wait_for_timeout(300)
            with traffic(page) as counted:
                page.evaluate("path => { history.pushState(null, '', path); }", path)
                page.wait_for_selector("main h1")
                page.wait_for_timeout(1000)
        rows.append((path, str(counted), "a file below 60 KB"))
    return rows


def event_to_pixel(browser: Browser, server: Server) -> list[Row]:
    """Jobs are canceled at random moments; from the stored time of the end to the painted row."""
    server.client.post("/api/v1/pauses", json={"scope": "all", "reason": "a proof"})
    body = {"recipe": "textToImage", "input": {"prompt": "a fox", "width": 64, "height": 64}}
    delays: list[float] = []
    with visitor(browser, server.url, (1440, 4000)) as reader:
        page = None
        for _ in range(0, EVENTS, 50):
            ids = [server.client.post("/api/v1/jobs", json=body).json()["id"] for _ in range(50)]
            page = page or queue_page(reader)
            page.wait_for_selector(f".queue-list a[href='/jobs/{ids[-1]}']")
            page.wait_for_timeout(1500)
            page.evaluate(_WATCH)
            for id_ in ids:
                server.client.post(f"/api/v1/jobs/{id_}/cancel").raise_for_status()
                time.sleep(random.uniform(0.05, 0.35))
            page.wait_for_function("ids => ids.every((id) => window.painted[id])", arg=ids, timeout=30_000)
            painted = page.evaluate("window.painted")
            delays += [painted[id_] - stored_ms(server, id_) for id_ in ids]
    figure = f"{statistics.median(delays):.0f} ms, {share(delays, 0.95):.0f} ms, {max(delays):.0f} ms"
    return [(f"event to pixel, {len(delays)} events: median, p95, worst", figure, "p95 below 150 ms")]


def stored_ms(server: Server, id_: str) -> float:
    finished = server.app.stores.jobs.job(id_).finished_at
    assert finished is not None
    return finished / 1000


def hour(browser: Browser, server: Server) -> list[Row]:
    """An hour's worth of events in the queue: every third a new job."""
    jobs = Jobs(server)
    with visitor(browser, server.url) as reader:
        page = queue_page(reader)
        play(page, jobs, HOUR // 10)
        early = settled(page)
        started = time.perf_counter()
        play(page, jobs, HOUR - HOUR // 10)
        rate = (HOUR - HOUR // 10) / (time.perf_counter() - started)
        late = settled(page)
    return [
        ("heap after 10 % of an hour's 36,000 events", f"{early.heap / 2**20:.1f} MB", ""),
        (
            "heap after all of them",
            f"{late.heap / 2**20:.1f} MB, {late.heap / early.heap - 1:+.1%}",
            "at most +10 %",
        ),
        ("nodes and listeners of the page, before and after", _counts(early, late), "no growth"),
        ("events taken in", f"{rate:.0f} a second", ""),
    ]


def settled(page: Page) -> Memory:
    """What the page holds once its last requests are answered."""
    page.wait_for_timeout(2000)
    return memory(page)


def _counts(early: Memory, late: Memory) -> str:
    return f"{early.nodes} and {early.listeners}, {late.nodes} and {late.listeners}"


PARTS: tuple[Callable[[Browser, Server], list[Row]], ...] = (first_load, screens, event_to_pixel, hour)


def main() -> int:
    wanted = sys.argv[1:]
    for part in PARTS:
        if wanted and part.__name__ not in wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(_env_file=None, data_dir=Path(folder))
            with running_server(settings) as server:
                server.submit(image_job(), wait="true").raise_for_status()
                if part is first_load:
                    with one_core(), chromium() as browser:
                        rows = part(browser, server)
                else:
                    with chromium() as browser:
                        rows = part(browser, server)
        print(f"load of the machine: {os.getloadavg()[0]:.1f}")
        width = max(len(name) for name, _, _ in rows)
        for name, figure, aim in rows:
            print(f"{name:<{width}}  {figure:>28}  {aim}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
