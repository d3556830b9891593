"""The floor: CPU of each part of a job, in one thread that nothing disturbs.

    python -m benchmarks.floor [JOBS]

A job of the throughput benchmark is taken apart: its request without a job (``whatif``), its submission,
claim, render, check, file, and end. Nothing here waits for another thread, so the sum is what one core must
do for a job; what a busy server takes beyond it is the price of threads that share an interpreter.
Transactions hold one job here and several on a busy server.
"""

import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.processes import Row
from benchmarks.throughput import BODY
from imagemill.backends.simulator import painter
from imagemill.bootstrap.application import Application, Roles, application
from imagemill.config import Settings
from imagemill.domain.clock import now_us, uuid7
from imagemill.domain.images import ImageSpec
from imagemill.domain.jobs import Job, Succeeded
from imagemill.jobs.store.admission import Submission
from imagemill.jobs.submit import JobRequest
from imagemill.media.pictures import inspect

JOBS = 600
_WARM = 50
_HEADERS = [
    (b"host", b"localhost"),
    (b"authorization", b"Bearer bench"),
    (b"content-type", b"application/json"),
]
_INPUT = {
    "model": "urn:air:sd1:checkpoint:civitai:4384@128713",
    "prompt": "a fox",
    "width": 64,
    "height": 64,
    "steps": 4,
}


class _Meter:
    """CPU seconds of this thread, by part."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        start = time.thread_time()
        yield
        self.seconds[part] += time.thread_time() - start


def measure(root: Path, jobs: int = JOBS) -> dict[str, float]:
    """Return the microseconds of CPU a job, by part."""
    settings = Settings(data_dir=root / "floor", log_level="warning")
    app = Application(settings, Roles(api=True, scheduler=False, worker=False))
    app.services.registry.seed()
    try:
        for count in (_WARM, jobs):
            meter = _Meter()
            asyncio.run(_requests(app, meter, count))
            _jobs(app, meter, count)
    finally:
        app.close()
    return {part: seconds / jobs * 1e6 for part, seconds in meter.seconds.items()}


async def _requests(app: Application, meter: _Meter, count: int) -> None:
    asgi, body = application(app), BODY.encode()
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    for _ in range(count):
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v1/consumer/jobs",
            "raw_path": b"/v1/consumer/jobs",
            "query_string": b"whatif=true",
            "root_path": "",
            "headers": [*_HEADERS, (b"content-length", b"%d" % len(body))],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "state": {},
        }
        with meter.of("request, checked and priced, without a job"):
            await asgi(scope, receive, send)
        assert status == 200, status


def _jobs(app: Application, meter: _Meter, count: int) -> None:
    submitter, runner, store = app.services.submitter, app.runner, app.stores.jobs
    (offer, *_) = [each for each in app.offers.all() if each.backend == "simulator"]
    for _ in range(count):
        drafts = submitter.prepare("local", [JobRequest("textToImage", _INPUT)], dialect="native")
        with meter.of("transaction of a submission"):
            store.submit(Submission(uuid7(), "local", drafts, now_us()))
        with meter.of("transaction of a claim"):
            claim = runner._claim(offer)  # pyright: ignore[reportPrivateUsage] - one step of a slot
        assert claim is not None
        attempt = runner.begin(claim)
        with meter.of("render, check and file, with the stages between"):
            outcome = runner.outcome_of(attempt, runner.steps.all)
        assert isinstance(outcome, Succeeded), outcome
        with meter.of("transaction of an end"):
            runner._finish(attempt, outcome, None)  # pyright: ignore[reportPrivateUsage]
        runner.end(attempt)
        _pixels(app, meter, claim.job)


def _pixels(app: Application, meter: _Meter, job: Job) -> None:
    """Repeat the three parts of a render that touch the picture."""
    recipe = app.recipes[job.recipe]
    work = recipe.plan(recipe.input.model_validate(job.input)).work
    assert isinstance(work, ImageSpec)
    with meter.of("  painting and encoding"):
        data = painter.paint(work, 0)
    with meter.of("  checking"):
        inspect(data, max_pixels=10**6)
    with meter.of("  writing the file"):
        app.blobs.create(f"jobs/{job.id}/99/0.png", data, "image/png")


def rows(found: dict[str, float]) -> list[Row]:
    whole = sum(value for part, value in found.items() if not part.startswith(" "))
    parts = [(f"floor: {part}", f"{value:.0f} us", "") for part, value in found.items()]
    return [*parts, ("floor: CPU a job in one thread", f"{whole / 1000:.2f} ms", "")]


def main() -> None:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    with tempfile.TemporaryDirectory() as folder:
        for name, value, _ in rows(measure(Path(folder), jobs)):
            print(f"{name:<60} {value:>10}")


if __name__ == "__main__":
    main()
