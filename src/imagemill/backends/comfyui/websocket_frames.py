"""The frames of a WebSocket (RFC 6455), as a client reads and writes them. Pure."""

import os
from collections.abc import Iterator

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTINUED = 0
_FINAL, _RESERVED, _KIND = 0x80, 0x70, 0x0F
_MASKED, _SIZE = 0x80, 0x7F
_SIZE_OF_16_BITS, _SIZE_OF_64_BITS = 126, 127
_LONGEST_CONTROL = 125


class BadFrame(ValueError):
    """The bytes are no frame that a server may send."""


class FrameReader:
    """Makes messages of the bytes of a connection. ``most``: the largest message in bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest = bytearray()
        """The beginning of a frame whose end has not come yet."""
        self._kind = 0
        """The kind of the message whose frames are being received; 0 if there is none."""
        self._parts: list[bytes] = []

    def read(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take received bytes; return the kind and payload of each message that is complete.

        Raises `BadFrame`.
        """
        received: bytes | bytearray = data
        if self._rest:
            self._rest += data
            received = self._rest
        start = 0
        while (head := self._head(received, start)) is not None:
            first, begin, size = head
            end = begin + size
            if end > len(received):
                break
            message = self._message(first, bytes(received[begin:end]))
            start = end
            if message is not None:
                yield message
        # Where no frame was complete, the bytes stay where they are: a picture comes in many pieces.
        if start or not isinstance(received, bytearray):
            self._rest = bytearray(received[start:])

    def _head(self, data: bytes | bytearray, start: int) -> tuple[int, int, int] | None:
        """The first byte of the frame at ``start``, and the begin and size of its payload; None if its
        head is not complete."""
        have = len(data) - start
        if have < 2:
            return None
        first, second = data[start], data[start + 1]
        if first & _RESERVED or second & _MASKED:
            raise BadFrame("it is masked or uses an extension")
        size, begin = second & _SIZE, start + 2
        if size >= _SIZE_OF_16_BITS:
            width = 2 if size == _SIZE_OF_16_BITS else 8
            if have < 2 + width:
                return None
            size, begin = int.from_bytes(data[begin : begin + width], "big"), begin + width
        if size > self._most:
            raise BadFrame(f"it has {size} bytes; at most {self._most} are taken")
        return first, begin, size

    def _message(self, first: int, payload: bytes) -> tuple[int, bytes] | None:
        kind, final = first & _KIND, bool(first & _FINAL)
        if kind >= CLOSE:
            if not final or len(payload) > _LONGEST_CONTROL or kind > PONG:
                raise BadFrame("a control frame is too long or of no known kind")
            return kind, payload
        if (kind == _CONTINUED) != bool(self._kind) or kind > BINARY:
            raise BadFrame("a message begins within another, or is of no known kind")
        if kind and final:
            return kind, payload
        self._kind = kind or self._kind
        self._parts.append(payload)
        if sum(map(len, self._parts)) > self._most:
            raise BadFrame(f"a message has more than {self._most} bytes")
        if not final:
            return None
        whole, self._kind, self._parts = (self._kind, b"".join(self._parts)), 0, []
        return whole


def masked_frame(kind: int, payload: bytes) -> bytes:
    """Return a frame with a payload of less than 64 KB; a client's frames are masked."""
    size = len(payload)
    head = (
        bytes((_FINAL | kind, _MASKED | size))
        if size < _SIZE_OF_16_BITS
        else bytes((_FINAL | kind, _MASKED | _SIZE_OF_16_BITS)) + size.to_bytes(2, "big")
    )
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
