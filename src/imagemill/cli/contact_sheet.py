"""Contact sheets: pictures are fetched, drawn on one sheet and written to a file."""

import math
from collections.abc import Sequence
from pathlib import Path

from imagemill.cli.client import Reply
from imagemill.cli.output import UNUSABLE, CliError
from imagemill.media.contact_sheet import Tile, draw, page

_WIDER = 1.3
"""Ratio of columns to rows: labels make each cell higher than wide."""


def check_output(output: Path) -> None:
    """Raises `CliError` if the file's name ends with neither .png nor .html."""
    if output.suffix.lower() not in (".png", ".html"):
        raise CliError(f"--output: {output.name!r} should end with .png or .html", UNUSABLE)


def write_sheet(
    output: Path, tiles: Sequence[Tile], title: str, *, columns: int | None = None, noun: str
) -> Reply:
    """Write the sheet. Raises `CliError` for more tiles than fit on it, or if it cannot be written."""
    columns = columns or max(1, math.ceil(math.sqrt(len(tiles)) * _WIDER))
    try:
        if output.suffix.lower() == ".html":
            output.write_text(page(tiles, title), encoding="utf-8")
        else:
            output.write_bytes(draw(tiles, title, columns=columns))
    except (ValueError, OSError) as error:
        raise CliError(f"the sheet cannot be written: {error}", UNUSABLE) from error
    return {"file": str(output), "cells": len(tiles)}, f"{output}: {len(tiles)} {noun}"
