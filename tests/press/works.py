"""Page work of the tests."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from imagemill.domain.errors import BackendError, MissingExtra
from imagemill.domain.failures import FailureCode
from imagemill.media.layout import InvalidImage
from imagemill.media.page_work import PageFile, PageResult, report

PDF = b"%PDF-1.7\n%%EOF\n"


def png(width: int, height: int, colour: str = "red") -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


@dataclass(frozen=True)
class Rectangle:
    """A picture, and its size as values."""

    width: int = 24
    height: int = 16

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        del inputs
        picture = PageFile(png(self.width, self.height), "image/png")
        return PageResult((picture,), {"size": [self.width, self.height]})


@dataclass(frozen=True)
class Join:
    """A document of all inputs in the order of their names, and the picture of the first."""

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        parts = [inputs[name] for name in sorted(inputs)]
        document = PageFile(PDF + b"".join(parts), "application/pdf")
        return PageResult((document, PageFile(parts[0], "image/png")), {"names": sorted(inputs)})


@dataclass(frozen=True)
class Pages:
    """Reports each of its pages."""

    count: int

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        for page in range(1, self.count + 1):
            report(page, self.count, f"page {page}")
        report(0, self.count)
        return PageResult(values={"pages": self.count})


@dataclass(frozen=True)
class Hang:
    """Runs until its process is killed, or the file ``over`` is there; writes the id of the process."""

    over: str = ""

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        report(0, 1, str(os.getpid()))
        while not (self.over and Path(self.over).exists()):
            time.sleep(0.01)
        return PageResult((PageFile(png(8, 8), "image/png"),))


@dataclass(frozen=True)
class Fail:
    """Ends in one of the ways in which work ends."""

    how: str
    secret: str = ""

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        match self.how:
            case "image":
                raise InvalidImage("cannot be decoded: the file is damaged")
            case "extra":
                MissingExtra.check("a_package_that_nobody_has", "books", "the layout of pages")
            case "memory":
                bytearray(2**36)
            case "bug":
                raise ValueError(f"no page for {self.secret}")
            case "values":
                return PageResult(values={"text": "x" * 70_000})
            case "type":
                return None  # type: ignore[return-value]
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "abort":
                os.abort()
            case "print":
                os.write(1, b"a library prints this")
                return PageResult(values={"printed": True})
            case "files":
                Path(tempfile.mkdtemp(), "photo.png").write_bytes(b"a photo")
                os.symlink(self.secret, Path(tempfile.gettempdir(), "link"))
                return PageResult(values={"folder": tempfile.gettempdir()})
            case "files and kill":
                Path(tempfile.mkdtemp(), "photo.png").write_bytes(b"a photo")
                os.kill(os.getpid(), signal.SIGKILL)
            case _:
                code = FailureCode(self.how)
                raise BackendError(code, f"the work failed by {code}", after_s=3.0, counts=False)
        return PageResult()


@dataclass(frozen=True)
class DieOnce:
    """Its process dies, unless the folder is there already, which it makes first: it cannot write files."""

    folder: str

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        try:
            Path(self.folder).mkdir()
        except FileExistsError:
            return Rectangle()(inputs)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it is dead")


def facts() -> dict[str, Any]:
    devices = [name for _, name in socket.if_nameindex()]
    return {"pid": os.getpid(), "nice": os.nice(0), "network": network(), "devices": devices}


def network() -> str:
    """The network of this process, as the system names it."""
    return os.readlink("/proc/self/ns/net")


def can_leave_network() -> bool:
    """Whether the system allows a process to leave the network, asked with a process of its own."""
    flags = ["--net"] if os.geteuid() == 0 else ["--net", "--user"]
    return subprocess.run(["unshare", *flags, "true"], capture_output=True, check=False).returncode == 0


@dataclass(frozen=True)
class Facts:
    """The facts about the process that it runs in."""

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        return PageResult(values=facts())
