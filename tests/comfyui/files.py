"""The node's three folders, in memory: input, output, temp."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

KINDS = ("input", "output", "temp")


@dataclass(frozen=True)
class Stored:
    data: bytes
    written_s: float  # since the epoch

    @property
    def etag(self) -> str:
        return f'"{int(self.written_s * 1e9):x}-{len(self.data):x}"'


class Escape(ValueError):
    """The path leads out of its folder."""


def inside(subfolder: str) -> str:
    """The subfolder in its shortest spelling. Raises Escape."""
    parts: list[str] = []
    for part in PurePosixPath(subfolder.replace("\\", "/")).parts:
        if part == "..":
            if not parts:
                raise Escape(subfolder)
            parts.pop()
        elif part == "/":
            raise Escape(subfolder)
        else:
            parts.append(part)
    return "/".join(parts)


class Folders:
    """Files by kind, subfolder and name."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str], dict[str, Stored]] = {}

    def read(self, kind: str, subfolder: str, name: str) -> Stored | None:
        return self._files.get((kind, subfolder), {}).get(name)

    def write(self, kind: str, subfolder: str, name: str, data: bytes) -> None:
        self._files.setdefault((kind, subfolder), {})[name] = Stored(data, time.time())

    def upload(self, kind: str, subfolder: str, name: str, data: bytes, overwrite: bool) -> str:
        """Keep the bytes; gives the name they got: another one if that name has other bytes."""
        stem, dot, ending = name.rpartition(".")
        stem, ending = (stem, dot + ending) if dot else (name, "")
        chosen, tries = name, 1
        while not overwrite and (there := self.read(kind, subfolder, chosen)):
            if _same(there.data, data):
                return chosen
            chosen, tries = f"{stem} ({tries}){ending}", tries + 1
        self.write(kind, subfolder, chosen, data)
        return chosen

    def next_number(self, kind: str, subfolder: str, stem: str) -> int:
        """One more than the largest number among `stem_00001_.png` and its like."""
        numbers = (_number(name, stem) for name in self._files.get((kind, subfolder), {}))
        return max(numbers, default=0) + 1

    def find(self, reference: str, kind: str = "input") -> Stored | None:
        """A file as graphs name it: `folder/a.png`, with ` [output]` or ` [temp]` behind."""
        for other in KINDS:
            if reference.endswith(f" [{other}]"):
                reference, kind = reference.removesuffix(f" [{other}]"), other
        path = PurePosixPath(reference)
        try:
            return self.read(kind, inside(str(path.parent)), path.name)
        except Escape:
            return None

    def delete(self, kind: str, subfolder: str, name: str) -> None:
        self._files.get((kind, subfolder), {}).pop(name, None)

    def empty(self, *kinds: str) -> None:
        self._files = {place: held for place, held in self._files.items() if place[0] not in kinds}

    def names(self, kind: str) -> Iterator[tuple[str, str]]:
        """Subfolder and name of each file of a kind."""
        for (other, subfolder), held in self._files.items():
            if other == kind:
                yield from ((subfolder, name) for name in held)


def _number(name: str, stem: str) -> int:
    if not name.startswith(stem + "_"):
        return 0
    digits = name[len(stem) + 1 :].partition("_")[0].partition(".")[0]
    return int(digits) if digits.isdigit() else 0


def _same(one: bytes, other: bytes) -> bool:
    return hashlib.sha256(one).digest() == hashlib.sha256(other).digest()
