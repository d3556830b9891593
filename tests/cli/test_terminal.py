"""Texts of users on the operator's terminal: no command and no log passes on what a terminal would act on."""

import io
import json
import logging
from typing import Any

import pytest
from rich.progress import Progress
from rich.text import Text

from imagemill.cli import output
from imagemill.cli.console import SafeConsole
from imagemill.cli.output import Printer, make_table, print_error, print_file, print_warning
from imagemill.observability import logs

NASTY = "a\x1b]0;title\x07\x1b[2J\x9b31m\x7f\u202egnp\u2066\r\x08b"
ACTED_ON = [
    *(chr(code) for code in range(32) if code not in (9, 10)),
    *map(chr, range(127, 160)),
    "\u202e",
    "\u2066",
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def acted_on(text: str) -> list[str]:
    return [sign for sign in ACTED_ON if sign in text]


def shown(print_: Any) -> str:
    file = io.StringIO()
    print_(SafeConsole(file=file, width=200, markup=False, emoji=False, highlight=False))
    return file.getvalue()


def test_a_text_a_table_and_a_styled_text_are_escaped() -> None:
    table = make_table("NAME", "OTHER")
    table.add_row(NASTY, Text(NASTY, style="red"))
    for thing in (NASTY, table, Text.assemble(("error: ", "red"), NASTY)):
        text = shown(lambda console, thing=thing: console.print(thing))
        assert acted_on(text) == []
        assert r"a\x1b]0;title" in text
        assert r"\u202egnp" in text


def test_letters_of_all_scripts_lines_and_the_consoles_own_colours_are_kept() -> None:
    text = "дом, größe, 日本, 👩‍🚀, שלום\nnext\tline"
    assert shown(lambda console: console.print(text)).rstrip() == text.expandtabs()
    file = io.StringIO()
    console = SafeConsole(file=file, force_terminal=True, color_system="standard", width=80)
    console.print(Text("red", style="red"))
    with Progress(console=console) as progress:
        progress.add_task(NASTY, total=1)
    assert "\x1b[31mred\x1b[0m" in file.getvalue()
    assert "\x9b" not in file.getvalue()


def test_messages_and_json_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(NASTY, NASTY)
    print_warning(NASTY)
    Printer().say(NASTY, Text(NASTY))
    Printer(as_json=True).json({NASTY: [NASTY]})
    told = capsys.readouterr()
    assert acted_on(told.err + told.out) == []
    assert json.loads(told.out.splitlines()[-1]) == {NASTY: [NASTY]}


def test_a_file_is_escaped_on_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, expected in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(output.sys, "stdout", stream)
        print_file(f"[x]\r\n{NASTY}")
        assert (r"\x1b" in stream.getvalue()) == expected
        assert (NASTY in stream.getvalue()) != expected


@pytest.mark.parametrize("format", ["text", "json"])
def test_log_lines_are_escaped(format: Any) -> None:
    root, ours = logging.getLogger(), logging.getLogger("imagemill")
    kept = root.handlers, root.level, ours.level
    stream = Terminal()
    handler = logs.configure("info", format, stream)
    handler.setFormatter(logs.JsonFormatter() if format == "json" else logs.TextFormatter())
    try:
        try:
            raise ValueError(NASTY)
        except ValueError:
            logging.getLogger("imagemill").exception("of %s", NASTY, extra={"why": NASTY})
    finally:
        root.handlers = kept[0]
        root.setLevel(kept[1])
        ours.setLevel(kept[2])
    dangerous = [
        sign for sign in acted_on(stream.getvalue()) if format == "text" or sign not in "\u202e\u2066\x7f"
    ]
    assert dangerous == []
