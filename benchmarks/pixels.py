"""Finished pictures: how well a key is removed, and what finishing costs: ``python -m benchmarks.pixels``.

With ``--picture FILE`` it draws what the documentation shows instead.
"""

import argparse
import io
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image

from benchmarks.processes import Row, imagemill
from imagemill.backends.simulator import painter
from imagemill.domain.images import ImageSpec
from imagemill.media.chroma_key import remove_background
from imagemill.media.postprocess import PostProcess
from imagemill.media.sandbox import DecoderPool, transform_limits
from imagemill.media.transforms import TransformContext
from tests.media.subjects import CLEAN, KEYS, ROUGH, USUAL, Rendering, Subject, draw

SUBJECTS = 6
"""Of each key and quality of rendering."""
ROUNDS = 15
SIDE = 1024
FACTS = TransformContext("bench", 1, 1_793_000_000_000_000, 1, "urn:air:sdxl:checkpoint:civitai:1@2", "")
FINISH = PostProcess(size=(SIDE, SIDE), thumbnail_px=256, prompt="a lighthouse at the sea", character="Ana")
HEALTH_S = 20.0
_SHOWN = Rendering(shift=14, slope=6)
"""Without noise, which would make the file several times as large."""


def measure(root: Path) -> list[Row]:
    return [*keys(), *simulated(), *times(), *sizes(), *beside_a_server(root)]


@dataclass(frozen=True, slots=True)
class Errors:
    """Means over a subject: of alpha everywhere, of alpha where the background shines through, and of the
    colours there on black, white and magenta, in levels."""

    alpha: float
    edge: float
    colour: float


def keys() -> list[Row]:
    rows: list[Row] = []
    every: list[Errors] = []
    for rendering, name in ((CLEAN, "clean"), (USUAL, "usual"), (ROUGH, "rough")):
        found = [
            _errors(draw(seed, key, rendering=rendering), key)
            for key in KEYS.values()
            for seed in range(100, 100 + SUBJECTS)
        ]
        every += found
        rows.append((f"alpha error, {name} renders", f"{_mean(found, 'alpha'):.4f}", ""))
        rows.append(
            ("... at edges; colour there", f"{_mean(found, 'edge'):.3f}; {_mean(found, 'colour'):.1f}", "")
        )
    mean, worst = _mean(every, "alpha"), max(one.alpha for one in every)
    return [
        (f"alpha error, {len(every)} subjects: mean, worst", f"{mean:.4f}, {worst:.4f}", "below 0.02"),
        *rows,
    ]


def _mean(found: list[Errors], name: str) -> float:
    return float(np.mean([getattr(one, name) for one in found]))


def _errors(subject: Subject, key: tuple[int, int, int]) -> Errors:
    pixels = np.asarray(remove_background(Image.open(io.BytesIO(subject.data)), key)).astype(np.float32)
    alpha = pixels[..., 3:] / 255
    apart = np.abs(alpha[..., 0] - subject.alpha)
    edge = (subject.alpha > 0) & (subject.alpha < 1)
    colours = [
        np.abs(pixels[..., :3] * alpha + (1 - alpha) * np.array(behind) - subject.on(behind))[edge].mean()
        for behind in ((0, 0, 0), (255, 255, 255), (255, 0, 255))
    ]
    return Errors(float(apart.mean()), float(apart[edge].mean()), float(np.mean(colours)))


def simulated() -> list[Row]:
    """The simulator's people, at a sticker's size."""
    found: list[float] = []
    for key in KEYS.values():
        for seed in range(3):
            spec = _spec(seed, 768, 1152, "#{:02x}{:02x}{:02x}".format(*key))
            keyed = np.asarray(remove_background(Image.open(io.BytesIO(painter.paint(spec, 0))), key))[..., 3]
            cover = np.asarray(painter.cover(spec, 0))
            found.append(float(np.abs(keyed.astype(int) - cover).mean() / 255))
    return [("alpha error, the simulator's people", f"{np.mean(found):.5f}", "below 0.02")]


def _spec(seed: int, width: int, height: int, background: str | None = None) -> ImageSpec:
    prompt = "a red fox in the snow"
    return ImageSpec(
        prompt, "", "m", "m", "sdxl", width, height, 30, 7, "euler", "karras", seed, background=background
    )


def times() -> list[Row]:
    """CPU time, which neighbours disturb least."""
    photo = photo_like(1)
    bare_s, ours_s = _cpu_s(lambda: bare(photo)), _cpu_s(lambda: FINISH(photo, FACTS))
    sticker = draw(3, KEYS["green"], (768, 1152), USUAL).data
    image = Image.open(io.BytesIO(sticker))
    image.load()
    whole = PostProcess(size=(768, 1152), key_colour="#00ff00", trim_px=5, thumbnail_px=256)
    return [
        ("PNG to WebP and thumbnail, CPU", f"{ours_s * 1000:.0f} ms", ""),
        ("... against bare Pillow", f"{ours_s / bare_s:.2f}", "at most 1.15"),
        ("key removed from 768 x 1152, CPU", f"{_cpu_s(lambda: remove_background(image)) * 1000:.0f} ms", ""),
        ("... sticker finished, CPU", f"{_cpu_s(lambda: whole(sticker, FACTS)) * 1000:.0f} ms", ""),
    ]


def _cpu_s(work: Callable[[], object]) -> float:
    work()
    took: list[float] = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        work()
        took.append(time.process_time() - begin)
    return sorted(took)[ROUNDS // 2]


def bare(data: bytes) -> None:
    """The least that makes the same two files."""
    image = Image.open(io.BytesIO(data))
    image.load()
    image.save(io.BytesIO(), "WEBP", quality=85, method=2)
    image.thumbnail((256, 256), Image.Resampling.LANCZOS)
    image.save(io.BytesIO(), "WEBP", quality=85, method=2)


def photo_like(seed: int, grain: float = 2.0) -> bytes:
    """Detail at every scale, as in a photograph, and the grain of a camera: its deviation, in levels."""
    random = np.random.default_rng(seed)
    sum_ = np.zeros((SIDE, SIDE, 3))
    for octave in range(2, 10):
        coarse = Image.fromarray(random.integers(0, 255, (2**octave, 2**octave, 3), np.uint8))
        detail = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float64)
        sum_ += (detail - 127.5) * 0.6 ** (octave - 1)
    sum_ += random.normal(0, grain, (SIDE, SIDE, 1))
    image = Image.fromarray(np.clip(127.5 + sum_, 0, 255).astype(np.uint8))
    return _png(image)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=4)  # ComfyUI's
    return file.getvalue()


def sizes() -> list[Row]:
    painted = [Image.open(io.BytesIO(painter.paint(_spec(seed, SIDE, SIDE), 0))) for seed in range(6)]
    sources = {
        "the simulator's": [_png(image) for image in painted],
        "photo-like": [photo_like(seed) for seed in range(3)],
        "photo-like with coarse grain": [photo_like(seed, grain=8.0) for seed in range(3)],
    }
    rows: list[Row] = []
    for name, pictures in sources.items():
        whole = sum(map(len, pictures))
        small = sum(len(FINISH(data, FACTS)[0].data) for data in pictures)
        per = f"{whole / len(pictures) / 2**20:.2f} MiB, -{1 - small / whole:.0%}"
        rows.append((f"1024 x 1024 PNG to WebP, {name}", per, "about 90 %"))
    return rows


def beside_a_server(root: Path) -> list[Row]:
    """Two processes finish pictures all the time; meanwhile a server is asked how it is."""
    data = photo_like(2)
    with imagemill(root / "pixels") as server:
        idle = _health_ms(server.url, HEALTH_S / 4)
        with crafting(data) as done:
            begin = time.perf_counter()
            busy = _health_ms(server.url, HEALTH_S)
            rate = done() / (time.perf_counter() - begin)
    return [
        ("/health p50 and p99, idle", f"{_part(idle, 0.5):.1f}, {_part(idle, 0.99):.1f} ms", ""),
        ("... both cores finishing", f"{_part(busy, 0.5):.1f}, {_part(busy, 0.99):.1f} ms", "below 50 ms"),
        ("pictures finished meanwhile", f"{rate:.1f} a second", ""),
        ("... in parallel, against bare Pillow", f"{_parallel(data):.2f}", "at most 1.15"),
    ]


@contextmanager
def crafting(data: bytes) -> Iterator[Callable[[], int]]:
    """The confined processes that a worker has, one for each of two cores; how many pictures are done."""
    crafts = DecoderPool(transform_limits(64 * 2**20, 120.0), 2)
    stop = threading.Event()
    count: list[int] = []

    def work() -> None:
        while not stop.is_set():
            crafts.transform(FINISH, data, FACTS)
            count.append(1)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for _ in range(2):
        crafts.transform(FINISH, data, FACTS)
    for thread in threads:
        thread.start()
    try:
        yield lambda: len(count)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        crafts.close()


def _health_ms(url: str, seconds: float) -> list[float]:
    """A hundred times a second."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    with httpx2.Client(base_url=url, timeout=10) as client:
        while (begin := time.perf_counter()) < end:
            client.get("/health").raise_for_status()
            took.append((time.perf_counter() - begin) * 1000)
            time.sleep(0.01)
    return sorted(took)


def _part(sorted_: list[float], part: float) -> float:
    return sorted_[min(len(sorted_) - 1, int(len(sorted_) * part))]


def _parallel(data: bytes) -> float:
    """Wall time of rounds of ours over that of rounds of bare Pillow, two processes at once, by turns."""
    took: dict[str, list[float]] = {"ours": [], "bare": []}
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_ours_once, [data] * 4))
        for _ in range(ROUNDS // 2):
            for name, work in (("bare", bare), ("ours", _ours_once)):
                begin = time.perf_counter()
                list(pool.map(work, [data] * 4))
                took[name].append(time.perf_counter() - begin)
    return sorted(took["ours"])[ROUNDS // 4] / sorted(took["bare"])[ROUNDS // 4]


def _ours_once(data: bytes) -> None:
    FINISH(data, FACTS)


def picture(path: Path) -> None:
    """Rows: keys. Columns: as rendered; its hair without the key on black, white, magenta, enlarged."""
    rows: list[Any] = []
    for key, seed in zip(KEYS.values(), (204, 203, 201, 207, 200), strict=True):
        source = Image.open(io.BytesIO(draw(seed, key, rendering=_SHOWN).data)).convert("RGB")
        keyed = remove_background(source, key)
        cells = [source.crop((30, 0, 354, 270)).resize((360, 300), Image.Resampling.LANCZOS)]
        for behind in ((0, 0, 0), (255, 255, 255), (255, 0, 255)):
            whole = Image.new("RGBA", keyed.size, behind)
            whole.alpha_composite(keyed)
            part = whole.convert("RGB").crop((210, 10, 330, 110))
            cells.append(part.resize((360, 300), Image.Resampling.NEAREST))
        rows.append(np.concatenate([np.asarray(cell) for cell in cells], 1))
    Image.fromarray(np.concatenate(rows, 0)).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path)
    chosen = parser.parse_args()
    if chosen.picture:
        picture(chosen.picture)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, value, aim in measure(Path(folder)):
            print(f"{name:<60} {value:>22}  {aim}", flush=True)


if __name__ == "__main__":
    main()
