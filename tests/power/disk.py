"""A disk that loses what was not flushed: rebuilds a folder from the record that ``disk.c`` makes.

The record has every write, name and flush below one folder in their order. `Disk.cut` makes the folder as a
disk may show it after a power cut at any entry of the record: what was flushed is there; each later change of
a file is kept, lost, or kept in some of its sectors; each later name of a folder is kept or lost, whatever
came of the file.
"""

import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from tests import debian

_SOURCE = Path(__file__).with_name("disk.c")
_ENTRY = struct.Struct("<c3xIQII")
_SECTORS = (512, 4096)

Weakness = Literal["", "files"]
"""``files``: flushes of files below ``blobs`` are ignored, to show that the proof notices."""


@cache
def library(folder: Path) -> Path:
    """The compiled ``disk.c``."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    made = folder / "disk.so"
    command = [compiler] if compiler else [str(debian.unpacked("tcc") / "usr/bin/tcc")]
    subprocess.run([*command, "-shared", "-fPIC", "-O2", "-o", made, _SOURCE, "-ldl", "-pthread"], check=True)
    return made


def environment(compiled: Path, root: Path, log: Path, delay_us: int) -> dict[str, str]:
    """The variables with which a program's writes below ``root`` are recorded in ``log``."""
    return {
        "LD_PRELOAD": str(compiled),
        "POWER_ROOT": str(root),
        "POWER_LOG": str(log),
        "POWER_DELAY_US": str(delay_us),
    }


@dataclass(frozen=True, slots=True)
class Entry:
    kind: str
    handle: int
    argument: int
    first: bytes
    second: bytes

    @property
    def size(self) -> int:
        """Its bytes in the record."""
        return _ENTRY.size + len(self.first) + len(self.second)


def entries(log: Path) -> list[Entry]:
    """The entries of a record; one that a killed program left unfinished is not there."""
    data, at, found = log.read_bytes(), 0, list[Entry]()
    while at + _ENTRY.size <= len(data):
        kind, handle, argument, first, second = _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        end = at + first + second
        if end > len(data):
            break
        found.append(Entry(kind.decode(), handle, argument, data[at : at + first], data[at + first : end]))
        at = end
    return found


@dataclass(slots=True)
class _File:
    """A file: its bytes that are sure, and what was done to it since."""

    base: Path | None = None
    """The file of the former disk that holds its first bytes."""
    data: bytearray | None = None
    later: list[tuple[int, str, int, bytes]] = field(default_factory=list[tuple[int, str, int, bytes]])
    """Number of the entry, ``W`` or ``T``, offset or size, bytes."""

    def sure(self) -> bytearray:
        if self.data is None:
            self.data = bytearray(self.base.read_bytes() if self.base is not None else b"")
        return self.data

    def flush(self, until: int) -> None:
        while self.later and self.later[0][0] <= until:
            _, kind, at, data = self.later.pop(0)
            _apply(self.sure(), kind, at, data)

    def after_cut(self, rng: random.Random) -> bytes:
        found, fate = bytearray(self.sure()), rng.choice(("nothing", "all", "some", "prefix"))
        last = rng.randrange(len(self.later) + 1)
        for number, (_, kind, at, data) in enumerate(self.later):
            if fate == "all" or (fate == "prefix" and number < last):
                _apply(found, kind, at, data)
            elif fate == "some":
                if kind == "T":
                    if rng.random() < 0.5:
                        _apply(found, kind, at, data)
                    continue
                _tear(found, at, data, rng)
        return bytes(found)


def _apply(found: bytearray, kind: str, at: int, data: bytes) -> None:
    if kind == "T":
        del found[at:]
        found.extend(bytes(at - len(found)))
        return
    found.extend(bytes(max(0, at - len(found))))
    found[at : at + len(data)] = data


def _tear(found: bytearray, at: int, data: bytes, rng: random.Random) -> None:
    """Keep a write, lose it, or keep some of its sectors."""
    fate, size = rng.random(), rng.choice(_SECTORS)
    if fate < 0.3:
        return
    if fate < 0.6:
        _apply(found, "W", at, data)
        return
    begin = at
    while begin < at + len(data):
        end = min((begin // size + 1) * size, at + len(data))
        if rng.random() < 0.5:
            _apply(found, "W", begin, data[begin - at : end - at])
        begin = end


@dataclass(slots=True)
class _Folder:
    """A folder: the names that are sure, and what was done to them since."""

    sure: "dict[str, _Node]" = field(default_factory=dict[str, "_Node"])
    now: "dict[str, _Node]" = field(default_factory=dict[str, "_Node"])
    later: "list[tuple[int, dict[str, _Node | None]]]" = field(
        default_factory=list[tuple[int, dict[str, "_Node | None"]]]
    )
    """Number of the entry, and what became of names: those of a rename change together."""

    def change(self, number: int, names: "dict[str, _Node | None]") -> None:
        _rename(self.now, names)
        self.later.append((number, names))

    def flush(self, until: int) -> None:
        while self.later and self.later[0][0] <= until:
            _rename(self.sure, self.later.pop(0)[1])

    def after_cut(self, rng: random.Random) -> "dict[str, _Node]":
        found, fate = dict(self.sure), rng.choice(("nothing", "all", "some", "prefix"))
        last = rng.randrange(len(self.later) + 1)
        for number, (_, names) in enumerate(self.later):
            is_kept = {"nothing": False, "all": True, "some": rng.random() < 0.5, "prefix": number < last}[
                fate
            ]
            if is_kept:
                _rename(found, names)
        return found


_Node = _File | _Folder


def _rename(names: dict[str, _Node], changes: "dict[str, _Node | None]") -> None:
    for name, node in changes.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """The folder ``base``, which is all on the disk, and what the record did to it."""

    def __init__(self, base: Path, weakness: Weakness = "") -> None:
        self._weakness = weakness
        self._root = _loaded(base)
        self._open: dict[int, _Node] = {}
        self._weak: set[int] = set()
        self._number = 0
        self._do: dict[str, Callable[[Entry], None]] = {
            "O": self._opened,
            "W": self._written,
            "T": self._written,
            "F": self._flushed,
            "S": self._all_flushed,
            "R": self._renamed,
            "L": self._linked,
            "U": self._unlinked,
            "D": self._unlinked,
            "M": self._made,
        }

    def run(self, entry: Entry) -> None:
        """Do the next entry of the record."""
        self._number += 1
        self._do[entry.kind](entry)

    def cut(self, folder: Path, rng: random.Random) -> None:
        """Make ``folder`` as the disk may show it after a power cut now."""
        contents: dict[int, bytes] = {}
        _write(self._root, folder, rng, contents)

    def _place(self, path: bytes) -> tuple[_Folder, str]:
        *above, name = path.decode().split("/")
        folder = self._root
        for part in above:
            below = folder.now[part]
            assert isinstance(below, _Folder)
            folder = below
        return folder, name

    def _opened(self, entry: Entry) -> None:
        if not entry.first:
            self._open[self._number] = self._root
            return
        folder, name = self._place(entry.first)
        if entry.argument & 1:
            folder.change(self._number, {name: _File()})
        node = folder.now[name]
        if entry.argument & 2 and isinstance(node, _File) and not entry.argument & 1:
            node.later.append((self._number, "T", 0, b""))
        self._open[self._number] = node
        if self._weakness == "files" and entry.first.startswith(b"blobs/") and isinstance(node, _File):
            self._weak.add(self._number)

    def _written(self, entry: Entry) -> None:
        node = self._open[entry.handle]
        assert isinstance(node, _File)
        node.later.append((self._number, entry.kind, entry.argument, entry.first))

    def _flushed(self, entry: Entry) -> None:
        if entry.handle not in self._weak:
            self._open[entry.handle].flush(entry.argument)

    def _all_flushed(self, entry: Entry) -> None:
        if self._weakness:
            return
        for node in _below(self._root):
            node.flush(entry.argument)

    def _renamed(self, entry: Entry) -> None:
        (source, former), (target, name) = self._place(entry.first), self._place(entry.second)
        node = source.now[former]
        if source is target:
            source.change(self._number, {former: None, name: node})
        else:
            source.change(self._number, {former: None})
            target.change(self._number, {name: node})

    def _linked(self, entry: Entry) -> None:
        (source, former), (target, name) = self._place(entry.first), self._place(entry.second)
        target.change(self._number, {name: source.now[former]})

    def _unlinked(self, entry: Entry) -> None:
        folder, name = self._place(entry.first)
        folder.change(self._number, {name: None})

    def _made(self, entry: Entry) -> None:
        folder, name = self._place(entry.first)
        folder.change(self._number, {name: _Folder()})


def _below(folder: _Folder) -> Iterator[_Node]:
    """The folder and everything in it, and what was in it and may come back."""
    yield folder
    nodes = [*folder.sure.values(), *folder.now.values()]
    nodes += [node for _, names in folder.later for node in names.values() if node is not None]
    for node in {id(node): node for node in nodes}.values():
        if isinstance(node, _Folder):
            yield from _below(node)
        else:
            yield node


def _loaded(path: Path) -> _Folder:
    found: dict[str, _Node] = {
        each.name: _loaded(each) if each.is_dir() else _File(base=each)
        for each in path.iterdir()
        if not each.name.endswith("-shm")
    }
    return _Folder(found, dict(found))


def _write(node: _Folder, folder: Path, rng: random.Random, contents: dict[int, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, child in node.after_cut(rng).items():
        if isinstance(child, _Folder):
            _write(child, folder / name, rng, contents)
        elif child.base is not None and child.data is None and not child.later:
            shutil.copyfile(child.base, folder / name)
        else:
            # A file with two names has the same bytes under both.
            data = contents.setdefault(id(child), child.after_cut(rng))
            (folder / name).write_bytes(data)


def main() -> None:
    """Print a record, for a reader who looks for a fault."""
    for number, entry in enumerate(entries(Path(sys.argv[1])), start=1):
        print(number, entry.kind, entry.handle, entry.argument, entry.first[:80], entry.second[:80])


if __name__ == "__main__":
    main()
