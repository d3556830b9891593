"""The bytes of a WebSocket become messages, however they are cut."""

import struct

import pytest

from imagemill.backends.comfyui.websocket_frames import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    BadFrame,
    FrameReader,
    masked_frame,
)

FINAL = 0x80


def frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 2**16:
        return bytes((first, 126)) + struct.pack(">H", size) + payload
    return bytes((first, 127)) + struct.pack(">Q", size) + payload


@pytest.mark.parametrize("step", [1, 2, 7, 100, 100_000])
def test_messages_are_the_same_however_the_bytes_are_cut(step: int) -> None:
    sent = [(TEXT, b"{}"), (BINARY, b"x" * 300), (PING, b""), (TEXT, b"y" * 70_000), (CLOSE, b"\x03\xe8")]
    data = b"".join(frame(FINAL | kind, payload) for kind, payload in sent)
    reader = FrameReader(100_000)
    pieces = (data[at : at + step] for at in range(0, len(data), step))
    assert [message for piece in pieces for message in reader.read(piece)] == sent


def test_a_message_in_several_frames_is_put_together_and_a_ping_may_come_between() -> None:
    data = frame(BINARY, b"ab") + frame(FINAL | PING, b"p") + frame(0, b"c") + frame(FINAL | 0, b"d")
    assert list(FrameReader(100).read(data)) == [(PING, b"p"), (BINARY, b"abcd")]


@pytest.mark.parametrize(
    "data",
    [
        frame(FINAL | 0x40 | TEXT, b"compressed"),
        bytes((FINAL | TEXT, 0x80)) + b"mask",
        frame(FINAL | TEXT, b"x" * 101),
        frame(TEXT, b"x" * 60) + frame(FINAL, b"x" * 60),
        frame(FINAL | 0, b"continued from nowhere"),
        frame(TEXT, b"begun") + frame(FINAL | TEXT, b"within"),
        frame(PING, b"not final"),
        frame(FINAL | PING, b"x" * 126),
        frame(FINAL | 3, b"of no known kind"),
        frame(FINAL | 11, b""),
    ],
)
def test_what_no_server_may_send_is_refused(data: bytes) -> None:
    with pytest.raises(BadFrame):
        list(FrameReader(100).read(data))


@pytest.mark.parametrize("payload", [b"", b"abcde", b"x" * 125, b"x" * 126, b"x" * 1000])
def test_frames_of_a_client_are_masked(payload: bytes) -> None:
    sent = masked_frame(TEXT, payload)
    long = len(payload) > 125
    size = struct.unpack(">H", sent[2:4])[0] if long else sent[1] & 0x7F
    mask, masked = (sent[4:8], sent[8:]) if long else (sent[2:6], sent[6:])
    assert (sent[0], sent[1] >> 7, size) == (FINAL | TEXT, 1, len(payload))
    assert bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked)) == payload
