"""`make bench-peers`: its clients, its counts and its page, on a server of the test and on ours alone."""

import asyncio
import json
import xml.etree.ElementTree as ElementTree
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.peers import page, turns, web
from benchmarks.peers.client import Load, Request, load, summarise
from benchmarks.peers.stage import Peer, Stage, UnavailableError
from benchmarks.peers.turns import Standing, Turn

REQUEST = Request("/jobs", {"prompt": "a fox"}, '"available":true')


class Answers:
    """A server that answers what it is given, in two pieces, and counts requests."""

    def __init__(self, answer: str, status: str = "200 OK") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(answer)}\r\n\r\n"
        self._answer = head.encode() + answer.encode()
        self.bodies: list[bytes] = []
        self.most_at_once = 0
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await _head(reader):
                await self._answer_one(head, reader, writer)
        finally:
            writer.close()

    async def _answer_one(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._open += 1
        self.most_at_once = max(self.most_at_once, self._open)
        length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        self.bodies.append(await reader.readexactly(length))
        writer.write(self._answer[:30])
        await asyncio.sleep(0)
        writer.write(self._answer[30:])
        self._open -= 1


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


async def _loaded(answers: Answers, clients: int, seconds: float) -> Load:
    async with await asyncio.start_server(answers.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await load(f"http://127.0.0.1:{port}", clients, seconds, REQUEST)


def test_each_client_has_one_request_under_way_and_each_answer_counts():
    answers = Answers('{"available":true}')
    measured = asyncio.run(_loaded(answers, 3, 0.1))
    assert measured.jobs == len(answers.bodies)
    assert measured.jobs >= 3
    assert answers.most_at_once <= 3
    assert json.loads(answers.bodies[-1]) == {"prompt": "a fox"}


@pytest.mark.parametrize("answer", [Answers('{"available":false}'), Answers("{}", "503 Busy")])
def test_an_answer_without_a_picture_ends_the_load(answer: Answers):
    with pytest.raises(RuntimeError, match="a job was not done"):
        asyncio.run(_loaded(answer, 2, 5))


def test_figures_of_a_load_are_those_of_its_latencies():
    latencies = [number / 1000 for number in range(200, 0, -1)]
    assert summarise(latencies, 4.0, 0.1) == Load(200, 50.0, 101.0, 199.0, 0.5)


def picture(folder: Path, name: str, side: int = 64) -> None:
    Image.new("RGB", (side, side)).save(folder / name, "PNG")


def test_each_answered_job_must_have_a_whole_picture(tmp_path: Path):
    picture(tmp_path, "1")
    picture(tmp_path, "2")
    turns.check_pictures(tmp_path, 2)
    with pytest.raises(RuntimeError, match="3 jobs were answered, but only 2 files"):
        turns.check_pictures(tmp_path, 3)
    picture(tmp_path, "3", 32)
    with pytest.raises(RuntimeError, match="3 has the size"):
        turns.check_pictures(tmp_path, 3)


def turn(per_second: float, p50_ms: float = 10.0) -> Turn:
    return Turn(Load(100, per_second, p50_ms, 40.0, 0.04), 2.0, 120.0)


def peer(title: str) -> Peer:
    return Peer(title, f"{title}'s files", {"one": lambda _: pytest.fail("not to be started")})


THEIRS = peer("Fastify, Redis")
OURS = peer("Imagemill")
STANDINGS = [
    Standing(OURS, "`serve`", (turn(400), turn(900), turn(500))),
    Standing(THEIRS, "one process", (turn(500), turn(1000), turn(1000))),
    Standing(THEIRS, "two processes", (turn(400), turn(500), turn(600))),
    Standing(peer("Quill"), "one", (), "its packages cannot be installed: no network"),
]


def test_the_table_has_medians_and_the_ratios_of_rounds():
    text = page.tables(STANDINGS)
    # The rounds' ratios are 0.8, 0.9 and 0.5, where that of the medians would be 0.5.
    row = "| 500 | 0.80 | 10.0 ms | 40.0 ms | 2.00 ms | 120 MB | 0.04 ms |"
    assert f"| **Imagemill**<br>`serve` {row}" in text
    assert "| **Fastify, Redis**<br>one process | 1,000 | 1.00 |" in text
    assert "| Fastify, Redis: two processes | 500 | 0.60 |" in text
    assert "| Imagemill | Imagemill's files |" in text
    assert "not measured: its packages cannot be installed: no network" in text


def test_a_page_keeps_all_but_its_figures(tmp_path: Path):
    file = tmp_path / "benchmarks.md"
    file.write_text(f"# Before\n\n{page.BEGIN}\nold\n{page.END}\n\nAfter\n")
    page.write(STANDINGS, 10, file, tmp_path / "images")
    text = file.read_text()
    assert text.startswith(f"# Before\n\n{page.BEGIN}\n\nMedians of 3 turns of 10 s each")
    assert text.endswith(f"{page.END}\n\nAfter\n")
    assert "old" not in text
    assert "(images/peers-pictures-rate.svg)" in text
    bars = ElementTree.parse(tmp_path / "images" / "peers-pictures-rate.svg").getroot()
    widths = [float(bar.get("width", "")) for bar in bars.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.01)
    with pytest.raises(ValueError, match="has no lines"):
        page.write(STANDINGS, 10, Path(__file__).parent / "__init__.py", tmp_path)


def test_ours_is_measured_and_a_peer_that_cannot_run_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def missing(_: Stage):
        raise UnavailableError("no such package")

    monkeypatch.setattr(turns, "WARM_UP_S", 0.2)
    peers = [
        Peer("Imagemill", "", {"`serve`": partial(web.serve, settings={})}),
        Peer("Quill", "", {"one": missing}),
    ]
    ours, theirs = turns.run(Stage(tmp_path), peers, rounds=1, seconds=0.5)
    (measured,) = ours.turns
    assert measured.load.jobs >= 16
    assert measured.cpu_ms > 0
    assert measured.memory_mb > 0
    assert (theirs.turns, theirs.reason) == ((), "no such package")
