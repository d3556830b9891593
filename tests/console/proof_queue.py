"""A queue of a hundred thousand jobs in the browser: ``python -m tests.console.proof_queue``.

Run by hand (`make web-proof`): it scrolls through pages of the list and measures the frames, and the time
from a filter's last key to its rows.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa
from playwright.sync_api import Page

from imagemill.config import Settings
from imagemill.db import tables
from imagemill.domain.clock import now_us, uuid7
from imagemill.jobs.store.lanes import job_row
from tests.conftest import Server, running_server
from tests.console.browser import chromium, visitor

JOBS = 100_000
FRAMES = 300
TYPED_S = 0.35
"""The field waits so long after the last key."""
_SCROLL = """async frames => {
    const box = document.querySelector(".queue-list .virtual");
    const times = [];
    let last = performance.now();
    for (let frame = 0; frame < frames; frame++) {
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        times.push(now - last);
        last = now;
        box.scrollTop += 400;
    }
    return times;
}"""


def fill(server: Server, jobs: int) -> None:
    """Submit one job while everything is paused, and copy its row."""
    server.client.post("/api/v1/pauses", json={"scope": "all", "reason": "a proof"})
    body = {"recipe": "textToImage", "input": {"prompt": "a fox", "width": 64, "height": 64}}
    id_ = server.client.post("/api/v1/jobs", json=body).json()["id"]
    events, first = tables.events, now_us() - jobs * 1000
    row = dict(job_row(server.app.stores.jobs.job(id_)))
    engine = sa.create_engine(server.app.settings.database)
    with engine.begin() as conn:
        for start in range(0, jobs, 10_000):
            rows = [{**row, "id": uuid7(first + (start + n) * 1000)} for n in range(10_000)]
            conn.execute(sa.insert(tables.jobs), rows)
            logged = [
                {
                    "job_id": each["id"],
                    "seq": 1,
                    "type": "Initialized",
                    "at": first,
                    "attempt": 0,
                    "data": "{}",
                }
                for each in rows
            ]
            conn.execute(sa.insert(events), logged)
    engine.dispose()


def filter_ms(page: Page, word: str, count: int) -> float:
    """Return the milliseconds from the last key to the rows of the filter, without the wait for more keys."""
    started = time.perf_counter()
    page.get_by_role("combobox", name="Filter jobs").fill(word)
    page.wait_for_function(
        "count => document.querySelectorAll('.queue-list .virtual-row').length === count", arg=count
    )
    return (time.perf_counter() - started - TYPED_S) * 1000


def main() -> int:
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Settings(_env_file=None, data_dir=Path(folder))) as server,
        chromium() as browser,
    ):
        fill(server, JOBS)
        one = server.client.get("/api/v1/jobs", params={"limit": 1}).json()["items"][0]["id"]
        with visitor(browser, server.url) as reader:
            page = reader.open("/queue")
            page.wait_for_selector(".queue-list .virtual-row")
            times = sorted(page.evaluate(_SCROLL, FRAMES))
            found_ms = filter_ms(page, f"id:{one}", 1)
    p50, p95 = statistics.median(times), times[int(FRAMES * 0.95)]
    print(f"frames while scrolling: median {p50:.1f} ms, p95 {p95:.1f} ms; aim 16.7 ms")
    print(f"from the last key of a filter to its rows: {found_ms:.0f} ms; aim below 200 ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
