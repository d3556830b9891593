"""The layout of books: a page, its preview, and the files of 24 pages: ``python -m benchmarks.books``."""

import multiprocessing
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.processes import Row
from imagemill.products.books.layout.frames import page_sheet
from imagemill.products.books.layout.page_layouts import BUILT_IN_FONTS
from imagemill.products.books.layout.works import LayBook, LayPage, LayProof, ProofPage
from tests.books.layout.support import SQUARE, book, picture

ROUNDS = 10
PAGES = 24


Inputs = Mapping[str, bytes]


def measure(root: Path) -> list[Row]:
    """Each part in a process of its own, as the press runs it."""
    names = [*map(str, range(1, PAGES + 1)), "front", "back"]
    pictures = {f"picture.{name}": picture(at % 3, noise=8) for at, name in enumerate(names)}
    previews = {"preview": picture(0, (1080, 1080))}
    memory = "below 400 MB"
    return [
        *_run("book page to PDF, warm, median", _page_to_pdf, pictures, "at most 0.15 s", ""),
        *_run("book page to a preview of 1080 px", _page_to_preview, pictures, "at most 0.25 s", ""),
        *_run(f"print files of {PAGES} pages of 2551 px", _print_files, pictures, "below 6 s", memory),
        *_run("proof sheet of 26 pages", _proof_sheet, previews, "", ""),
    ]


def _run(
    name: str, part: Callable[[Inputs], tuple[float, float]], inputs: Inputs, aim: str, memory: str
) -> list[Row]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        seconds, memory_mb = pool.submit(part, inputs).result()
    return [(name, f"{seconds:.3f} s", aim), ("... memory of the process", f"{memory_mb:.0f} MB", memory)]


def _median(work: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float]:
    """The median duration after a first call, in seconds, and the process's most memory, in MB."""
    work()
    durations: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    peak_kb = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return sorted(durations)[rounds // 2], int(peak_kb.group(1)) / 1024 if peak_kb else 0.0


def _page_to_pdf(inputs: Inputs) -> tuple[float, float]:
    from imagemill.products.books.layout.pdf_files import Ground, PdfFacts, assemble
    from imagemill.products.books.layout.preflight import LaidPage, open_picture
    from imagemill.products.books.layout.typesetter import TextSheet, open_typesetter

    page, data, sheet = book().pages[0], inputs["picture.1"], page_sheet(SQUARE)

    def work() -> bytes:
        with open_typesetter(BUILT_IN_FONTS, {}, "en") as setter:
            blocks = tuple(setter.measure([(block, sheet.frames[0]) for block in page.blocks]))
            text, _ = setter.lay([TextSheet(sheet.width, sheet.height, blocks)])
        laid = LaidPage(page, sheet.frames[0], blocks, open_picture(data))
        return assemble(text, [Ground(sheet, (laid,))], PdfFacts("", "en"))

    return _median(work)


def _page_to_preview(inputs: Inputs) -> tuple[float, float]:
    work = LayPage(book().pages[0], SQUARE)
    return _median(lambda: work(inputs))


def _print_files(inputs: Inputs) -> tuple[float, float]:
    work = LayBook(book(PAGES))
    return _median(lambda: work(inputs), 3)


def _proof_sheet(inputs: Inputs) -> tuple[float, float]:
    pages = tuple(ProofPage(f"page {number}", "preview", 0.8) for number in range(1, 27))
    work = LayProof("A book", pages, SQUARE, "2026-11-29")
    return _median(lambda: work(inputs), 3)


if __name__ == "__main__":
    for name, value, aim in measure(Path()):
        print(f"{name:<44}  {value:>10}  {aim}")
