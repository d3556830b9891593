"""One kept HTTP/1.1 connection to a node, over a blocking socket.

A prompt takes two small requests; the layers of a general client would take most of their time.
"""

import contextlib
import select
import socket
import ssl
import struct

import httptools

from imagemill.domain.dataclass import dataclass

_CHUNK = 256 * 1024
_WRITTEN_AT_ONCE = 64 * 1024
_HEAD_BYTES = 256 * 1024
"""Largest head of an answer that is accepted."""
_LATE = (TimeoutError, BlockingIOError)
"""Errors of a call that took too long: by Python's timeout, and by the kernel's."""


class ExchangeFault(Exception):
    """A request had no whole answer."""


class ConnectFault(ExchangeFault):
    """Connecting failed, so that nothing was sent."""


class ReadTimeout(ExchangeFault):
    """Nothing was received for too long."""


class BrokenOff(ExchangeFault):
    """The connection broke, or the answer is not HTTP."""


class BodyBrokenOff(BrokenOff):
    """The connection broke within the body of an answer."""


class BodyTooLarge(ExchangeFault):
    """The body has more bytes than are accepted."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    content_type: str
    body: bytes

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """The largest bodies in bytes: of a success, and of any other answer."""

    success: int
    other: int


class HttpConnection:
    """A connection that is opened with its first request. For one thread at a time."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._read_s = 0.0
        """The read timeout that the socket has; 0 for none yet."""

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def is_stale(self) -> bool:
        """Whether the server has closed it, or sent something that nobody asked for."""
        return self._socket is None or bool(self._poll.poll(0))

    def exchange(
        self, head: bytes, body: bytes, *, connect_s: float, read_s: float, limits: BodyLimits
    ) -> HttpAnswer:
        """Send a request and return the answer.

        ``connect_s``: longest time to connect, and to send a part of the request; ``read_s``: longest time
        without data. Raises `ExchangeFault`; then the connection is closed.
        """
        try:
            peer = self._socket or self._connect(connect_s)
            if self._tls is not None:
                peer.settimeout(connect_s)
            # A server may answer, and close, before it has read everything.
            with contextlib.suppress(ConnectionError):
                _send(peer, head, body)
            if self._tls is not None:
                peer.settimeout(read_s)
            elif read_s != self._read_s:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(read_s))
                self._read_s = read_s
            reading = _Reading(limits)
            answer = reading.read(peer)
        except BaseException:
            self.close()
            raise
        if not reading.is_reusable:
            self.close()
        return answer

    def close(self) -> None:
        peer, self._socket = self._socket, None
        if peer is not None:
            peer.close()

    def _connect(self, connect_s: float) -> socket.socket:
        try:
            peer = socket.create_connection((self._host, self._port), connect_s)
        except (OSError, UnicodeError) as error:  # a name that can be no host's is a `UnicodeError`
            raise ConnectFault(str(error)) from error
        try:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                peer = self._tls.wrap_socket(peer, server_hostname=self._host)
            else:
                # The kernel counts the time. Python would poll before each call, and release and take the
                # interpreter lock for that, which other threads wait for.
                peer.settimeout(None)
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(connect_s))
        except OSError as error:
            peer.close()
            raise ConnectFault(str(error)) from error
        self._socket, self._read_s = peer, 0.0
        self._poll = select.poll()
        self._poll.register(peer, select.POLLIN)
        return peer


def _send(peer: socket.socket, head: bytes, body: bytes) -> None:
    try:
        if len(body) <= _WRITTEN_AT_ONCE:
            peer.sendall(head + body)
            return
        peer.sendall(head)
        rest = memoryview(body)
        while rest:
            rest = rest[peer.send(rest[:_CHUNK]) :]  # each part has the whole time
    except _LATE as error:
        raise BrokenOff(str(error)) from error


def _timeval(seconds: float) -> bytes:
    """The C structure of a timeout; one of 0 would mean none."""
    whole, micros = divmod(max(1, round(seconds * 1e6)), 1_000_000)
    return struct.pack("@ll", whole, micros)


class _Reading:
    """Reads one answer; the receiver of the parser's callbacks."""

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._is_complete = self._has_more = self._stays_open = False
        self._is_in_body = self._has_length = False
        self._content_type = ""
        self._parts: list[bytes] = []
        self._size = self._received = 0
        self._most = 0
        self._too_large = False
        self.is_reusable = False
        """Whether the connection can be used for another request."""

    def read(self, peer: socket.socket) -> HttpAnswer:
        while not self._is_complete:
            try:
                data = peer.recv(_CHUNK)
            except _LATE as error:
                raise ReadTimeout(str(error)) from error
            except OSError as error:
                raise self._broken(str(error)) from error
            if not data:
                # A body without a stated length ends with the connection.
                if self._is_in_body and not self._has_length:
                    return self._answer()
                raise self._broken("the connection was closed")
            self._received += len(data)
            if not self._is_in_body and self._received > _HEAD_BYTES + _CHUNK:
                raise BrokenOff("the head is too long")
            self._feed(data)
        self.is_reusable = self._stays_open and not self._has_more
        return self._answer()

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            raise BrokenOff("the server switches protocols") from error
        except httptools.HttpParserError as error:
            if self._too_large:
                raise BodyTooLarge(str(self._most)) from error
            if not self._is_complete:
                raise self._broken(str(error)) from error
            self._has_more = True

    def _broken(self, reason: str) -> BrokenOff:
        return BodyBrokenOff(reason) if self._is_in_body else BrokenOff(reason)

    def _answer(self) -> HttpAnswer:
        return HttpAnswer(self._status, self._content_type, b"".join(self._parts))

    # Callbacks of the parser.

    def on_message_begin(self) -> None:
        # Something that nobody asked for, as one answer is complete: it is left out.
        self._has_more = self._has_more or self._is_complete

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if self._has_more:
            return
        if lower == b"content-type":
            self._content_type = value.decode("latin-1").partition(";")[0].strip()
        elif lower in (b"content-length", b"transfer-encoding"):
            self._has_length = True

    def on_headers_complete(self) -> None:
        if self._has_more:
            return
        self._status = status = self._parser.get_status_code()
        self._most = self._limits.success if 200 <= status < 300 else self._limits.other
        self._is_in_body = status >= 200

    def on_body(self, body: bytes) -> None:
        if self._has_more:
            return
        self._size += len(body)
        if self._size > self._most:
            self._too_large = True
            raise BodyTooLarge(str(self._most))
        self._parts.append(body)

    def on_message_complete(self) -> None:
        if self._has_more:
            return
        if self._is_in_body:
            # The parser knows it only now: afterwards it waits for the next answer, and says no.
            self._stays_open = self._parser.should_keep_alive()
            self._is_complete = True
        else:
            self._has_length = False  # an interim answer, such as 100; the answer follows
