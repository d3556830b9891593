"""Secrets as options: written out, or taken from where a shell's history does not see them."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from imagemill.cli.output import UNUSABLE, Trouble


def secret(text: str, option: str) -> str:
    """``env:VARIABLE``, ``file:PATH``, ``-`` for a line of standard input (asked for on a terminal), or the
    secret itself. Raises `Trouble` that names the option and never the secret."""
    kind, _, place = text.partition(":")
    if text == "-":
        found = _from_input(option)
    elif kind == "env" and place:
        found = os.environ.get(place, "")
        if not found:
            raise Trouble(f"{option}: the variable {place} is not set", UNUSABLE)
    elif kind == "file" and place:
        try:
            found = Path(place).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise Trouble(f"{option}: {place} cannot be read: {why}", UNUSABLE) from error
    else:
        found = text
    found = found.strip()
    if not found:
        raise Trouble(f"{option}: the secret is empty", UNUSABLE)
    return found


def secrets_of(pairs: Iterable[str]) -> dict[str, str]:
    """``NAME=VALUE`` each, the value read as `secret` does."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise Trouble("--header: write NAME=VALUE, such as CF-Access-Client-Secret=env:SECRET", UNUSABLE)
        found[name.strip()] = secret(value, f"--header {name.strip()}")
    return found


def _from_input(option: str) -> str:
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(f"{option}: ")
    return sys.stdin.readline()
