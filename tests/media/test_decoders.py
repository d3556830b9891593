"""Processes that decode: kept, ended, replaced."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagemill.media.layout import InvalidImage
from imagemill.media.sandbox import DecodeLimits, DecoderPool
from tests.media.files import picture, png

PIXELS = 4_000_000


@pytest.fixture
def decoders() -> Iterator[DecoderPool]:
    it = DecoderPool(DecodeLimits(PIXELS, seconds=5.0), count=2)
    yield it
    it.close()


def test_a_process_is_used_again(decoders: DecoderPool):
    assert decoders.processes == []
    decoders.decode(picture())
    first = decoders.processes
    decoders.decode(picture("JPEG"))
    assert decoders.processes == first
    assert len(first) == 1


def test_a_picture_it_cannot_decode_does_not_end_it(decoders: DecoderPool):
    decoders.decode(picture())
    first = decoders.processes
    with pytest.raises(InvalidImage):
        decoders.decode(b"no picture")
    assert decoders.processes == first


def test_a_decode_that_takes_too_long_is_ended_and_the_next_goes_on():
    it = DecoderPool(DecodeLimits(PIXELS, seconds=1.0), count=1)
    it.decode(picture())
    stuck = it.processes[0]
    os.kill(stuck, signal.SIGSTOP)  # as one that does not come back
    begin = time.monotonic()
    with pytest.raises(InvalidImage, match=r"longer than 1 s"):
        it.decode(picture())
    assert time.monotonic() - begin < 5
    assert not Path(f"/proc/{stuck}").exists()
    assert it.decode(picture())[:2] == (40, 30)
    it.close()


def test_a_process_that_dies_of_a_picture_is_replaced(decoders: DecoderPool):
    decoders.decode(picture())
    dead = decoders.processes[0]
    os.kill(dead, signal.SIGSEGV)
    os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
    assert decoders.decode(picture())[:2] == (40, 30)


def test_more_memory_than_allowed_is_refused_not_taken():
    """A header that lies: the bound holds even where nothing was counted before."""
    it = DecoderPool(DecodeLimits(pixels=1_000_000, seconds=20.0), count=1)
    with pytest.raises(InvalidImage):
        it.decode(png(size=(25_000, 25_000)))
    it.close()


def test_the_size_of_a_render_is_bounded_before_it_is_decoded(decoders: DecoderPool):
    assert decoders.inspect(picture(), 1200) == ("PNG", 40, 30)
    with pytest.raises(InvalidImage, match="40 x 30 are too many pixels"):
        decoders.inspect(picture(), 1199)


def test_threads_share_few_processes(decoders: DecoderPool):
    found: list[tuple[int, int, bytes]] = []
    threads = [
        threading.Thread(target=lambda: found.extend(decoders.decode(picture()) for _ in range(5)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40
    assert 1 <= len(decoders.processes) <= 2


def test_closing_ends_the_processes(decoders: DecoderPool):
    decoders.decode(picture())
    ids = decoders.processes
    decoders.close()
    assert not any(Path(f"/proc/{id_}").exists() for id_ in ids)


def test_it_can_write_no_file_and_open_few(decoders: DecoderPool):
    decoders.decode(picture())
    limits = Path(f"/proc/{decoders.processes[0]}/limits").read_text().splitlines()
    bounds = {line[:26].strip(): line[26:].split()[0] for line in limits[1:]}
    assert bounds["Max file size"] == "0"
    assert bounds["Max core file size"] == "0"
    assert bounds["Max open files"] == "16"
    assert int(bounds["Max address space"]) == DecodeLimits(PIXELS).memory_bytes
    assert bounds["Max cpu time"] != "unlimited"


def test_a_raster_is_pixels_row_by_row(decoders: DecoderPool):
    pixels = decoders.raster(picture(), 20, 10)
    assert len(pixels) == 20 * 10 * 3
