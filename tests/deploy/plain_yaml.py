"""The part of YAML that the files of ``deploy`` are written in; what is read here every reader reads alike.

Block mappings and lists of scalars, flow mappings and lists on one line, quoted text, anchors, aliases and
merges. A name given twice, a tab, a surprising indentation and anything else is refused.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

_KEY = re.compile(r"(?P<key>[A-Za-z_<][\w.<-]*):(?: (?P<rest>.*))?")
_ANCHOR = re.compile(r"&(?P<name>[\w-]+)(?: (?P<rest>.*))?")
_PLAIN_IN_FLOW = re.compile(r"[^,\[\]{}\"'#&*!|>%@`][^,\[\]{}]*")


class NotPlain(Exception):
    pass


@dataclass
class _Reader:
    lines: list[tuple[int, int, str]]
    """Number, indentation, text."""
    at: int = 0
    anchors: dict[str, Any] = field(default_factory=dict[str, Any])

    def block(self, indent: int) -> Any:
        return self.items(indent) if self.lines[self.at][2].startswith("- ") else self.mapping(indent)

    def mapping(self, indent: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while self.at < len(self.lines) and self.lines[self.at][1] >= indent:
            number, depth, text = self.lines[self.at]
            match = _KEY.fullmatch(text)
            if depth != indent or match is None:
                raise NotPlain(f"line {number}: a name is expected here: {text}")
            key = match["key"]
            if key in found or (key == "<<" and merged):
                raise NotPlain(f"line {number}: {key} is there twice")
            value = self.value(match["rest"] or "", indent)
            if key == "<<":
                merged = value
            else:
                found[key] = value
        return merged | found

    def items(self, indent: int) -> list[Any]:
        found: list[Any] = []
        while self.at < len(self.lines) and self.lines[self.at][1] >= indent:
            number, depth, text = self.lines[self.at]
            if depth != indent or not text.startswith("- "):
                raise NotPlain(f"line {number}: an item is expected here: {text}")
            self.at += 1
            found.append(self.scalar(text[2:], number))
        return found

    def value(self, rest: str, indent: int) -> Any:
        number = self.lines[self.at][0]
        self.at += 1
        anchor = _ANCHOR.fullmatch(rest)
        rest = (anchor["rest"] or "") if anchor else rest
        if rest:
            value = self.scalar(rest, number)
        elif self.at < len(self.lines) and self.lines[self.at][1] > indent:
            value = self.block(self.lines[self.at][1])
        else:
            value = None
        if anchor:
            self.anchors[anchor["name"]] = value
        return value

    def scalar(self, text: str, number: int) -> Any:
        if text.startswith("*"):
            if text[1:] not in self.anchors:
                raise NotPlain(f"line {number}: no anchor {text[1:]}")
            return self.anchors[text[1:]]
        if text[0] in "[{\"'":
            value, rest = _flow(text, number)
            if rest.strip():
                raise NotPlain(f"line {number}: what is {rest.strip()}?")
            return value
        if ": " in text or " #" in text or text.endswith(":") or text[0] in "&!|>%@`#":
            raise NotPlain(f"line {number}: quote this: {text}")
        return _typed(text)


def _typed(text: str) -> Any:
    text = text.strip()
    if text in ("true", "false"):
        return text == "true"
    if text in ("null", "~", "yes", "no", "on", "off"):
        raise NotPlain(f"{text} means different things to different readers: quote it")
    return int(text) if re.fullmatch(r"\d+", text) else text


def _flow(text: str, number: int) -> tuple[Any, str]:
    """The value at the beginning, and what follows it."""
    if text[0] == '"':
        value, end = json.JSONDecoder().raw_decode(text)
        return value, text[end:]
    if text[0] == "'":
        match = re.match(r"'((?:[^']|'')*)'", text)
        if match is None:
            raise NotPlain(f"line {number}: a quote is open: {text}")
        return match[1].replace("''", "'"), text[match.end() :]
    if text[0] == "[":
        return _flow_items(text[1:].lstrip(), number)
    if text[0] == "{":
        return _flow_mapping(text[1:].lstrip(), number)
    match = _PLAIN_IN_FLOW.match(text)
    if match is None:
        raise NotPlain(f"line {number}: what is {text}?")
    return _typed(match[0]), text[match.end() :]


def _flow_items(text: str, number: int) -> tuple[list[Any], str]:
    found: list[Any] = []
    while text and text[0] != "]":
        value, text = _flow(text, number)
        found.append(value)
        text = _next(text, "]", number)
    return found, _closed(text, number)


def _flow_mapping(text: str, number: int) -> tuple[dict[str, Any], str]:
    found: dict[str, Any] = {}
    while text and text[0] != "}":
        match = re.match(r"([A-Za-z_][\w-]*): ", text)
        if match is None or match[1] in found:
            raise NotPlain(f"line {number}: a new name is expected here: {text}")
        found[match[1]], text = _flow(text[match.end() :].lstrip(), number)
        text = _next(text, "}", number)
    return found, _closed(text, number)


def _next(text: str, end: str, number: int) -> str:
    text = text.lstrip()
    if text.startswith(","):
        return text[1:].lstrip()
    if not text.startswith(end):
        raise NotPlain(f"line {number}: {end} or a comma is expected here: {text}")
    return text


def _closed(text: str, number: int) -> str:
    if not text:
        raise NotPlain(f"line {number}: a bracket is open")
    return text[1:]


def read(text: str) -> Any:
    """Raises `NotPlain` with the line."""
    if "\t" in text:
        raise NotPlain("there is a tab")
    lines = [
        (number, len(line) - len(line.lstrip()), line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    reader = _Reader(lines)
    found = reader.block(0)
    if reader.at != len(lines):
        raise NotPlain(f"line {lines[reader.at][0]}: this belongs to nothing")
    return found
