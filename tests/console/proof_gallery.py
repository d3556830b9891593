"""Proof by hand: ``python -m tests.console.proof_gallery`` scrolls through 100,000 pictures and filters them.

Prints the times of frames while the page scrolls, and the time from Enter in the filter to the pictures. On
a machine without a GPU the browser draws with its processor, so frames say more of the machine than of the
page.
"""

import io
import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from PIL import Image
from playwright.sync_api import Page, expect

from imagemill.config import Settings
from imagemill.db import tables
from imagemill.domain.blob_keys import artifact_id, blob_key, thumbnail_key
from imagemill.domain.clock import SECOND
from tests.conftest import Server, running_server
from tests.console.browser import chromium, visitor
from tests.http.support import image_job, job_ids

PICTURES = 100_000
OF_JOB = 20
MOST_FILTER_MS = 200
_SCROLL = """
async () => {
  const grid = document.querySelector('.gallery-grid');
  grid.scrollTop = 0;
  const times = [];
  let before = await new Promise(requestAnimationFrame);
  for (let frame = 0; frame < 300; frame++) {
    grid.scrollTop += frame % 100 === 99 ? grid.scrollHeight / 4 : 90;
    const now = await new Promise(requestAnimationFrame);
    times.push(now - before);
    before = now;
  }
  return times.sort((a, b) => a - b);
}
"""
_LOAD = """
async (count) => {
  const grid = document.querySelector('.gallery-grid');
  const size = () => Number(grid.querySelector('[aria-setsize]')?.getAttribute('aria-setsize') ?? 0);
  const end = performance.now() + 600000;
  while (size() < count && performance.now() < end) {
    grid.scrollTop = grid.scrollHeight;
    await new Promise((done) => setTimeout(done, 10));
  }
  return size();
}
"""
_FILTERED = """
async (word) => {
  const began = performance.now();
  const alt = () => document.querySelector('.gallery-grid img')?.alt ?? '';
  while (!alt().includes(word) && performance.now() - began < 20000) {
    await new Promise(requestAnimationFrame);
  }
  return performance.now() - began;
}
"""


def fill(server: Server) -> None:
    """Copy a finished job, with its picture's thumbnail, until there are enough."""
    (made,) = job_ids(server.submit(image_job(params={"prompt": "a lighthouse"}), wait="true"))
    stores, blobs = server.app.stores, server.app.blobs
    with stores.database.engines.reader.connect() as conn:
        job = dict(conn.execute(sa.select(tables.jobs).where(tables.jobs.c.id == made)).mappings().one())
        of_job = tables.artifacts.c.job_id == made
        picture = dict(conn.execute(sa.select(tables.artifacts).where(of_job)).mappings().one())
    file = io.BytesIO()
    Image.effect_noise((256, 256), 90).convert("RGB").save(file, "WEBP", quality=80)
    blobs.put("jobs/seed/1/0-256.webp", file.getvalue(), "image/webp")
    seed = blobs.location("jobs/seed/1/0-256.webp")
    assert seed is not None
    for start in range(0, PICTURES // OF_JOB, 500):
        jobs: list[dict[str, Any]] = []
        pictures: list[dict[str, Any]] = []
        for number in range(start, min(PICTURES // OF_JOB, start + 500)):
            id_ = f"01a00000-0000-7000-8000-{number:012d}"
            prompt = "a zebra in the rain" if number % 100 == 0 else "a fox in the snow"
            text = job["input"].replace("a lighthouse", prompt)
            at = job["created_at"] - number * SECOND
            jobs.append(job | {"id": id_, "input": text, "created_at": at, "finished_at": at})
            for position in range(OF_JOB):
                named = {"id": artifact_id(id_, position), "job_id": id_, "position": position}
                key = {"blob_key": blob_key(id_, 1, position, "png"), "created_at": at}
                pictures.append(picture | named | key)
                # As the folder of files names them; a link, as 100,000 files take long to write.
                names = thumbnail_key(id_, 1, position, 256).split("/")
                path = seed.parents[1] / id_[-2:] / "_".join(names[1:])
                path.parent.mkdir(exist_ok=True)
                path.symlink_to(seed)
        with stores.database.engines.writer.begin() as conn:
            conn.execute(sa.insert(tables.jobs), jobs)
            conn.execute(sa.insert(tables.artifacts), pictures)


def measure(page: Page) -> None:
    loaded = page.evaluate(_LOAD, PICTURES)
    print(f"pictures loaded: {loaded}")
    times = page.evaluate(_SCROLL)
    print(f"frames: median {times[150]:.1f} ms, p95 {times[285]:.1f} ms, worst {times[-1]:.1f} ms")
    heap = page.evaluate("performance.memory.usedJSHeapSize / 2 ** 20")
    print(f"memory of the page's scripts: {heap:.0f} MB")
    box = page.get_by_role("combobox", name="Filter pictures")
    box.fill("zebra type:image")
    box.press("Enter")
    took = page.evaluate(_FILTERED, "zebra")
    print(f"filter: {took:.0f} ms, at most {MOST_FILTER_MS} ms on an idle machine")
    assert loaded >= PICTURES


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(_env_file=None, data_dir=Path(folder), blobs={"search_s": 86_400})
        with running_server(settings) as server, chromium() as browser:
            fill(server)
            with visitor(browser, server.url) as reader:
                page = reader.open("/gallery")
                expect(
                    page.get_by_role("listbox", name="Pictures").get_by_role("option").first
                ).to_be_visible()
                measure(page)


if __name__ == "__main__":
    main()
