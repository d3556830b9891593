"""Contact sheets of what a server has: fetched, drawn, written."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imagemill.cli.client import Client, segment
from imagemill.cli.output import UNUSABLE, CliError, Printer
from imagemill.media.contact_sheet import Tile, draw, page

_WIDER = 1.3
"""Than high: labels make each cell higher."""


def check_output(output: Path) -> None:
    """Raises `CliError` for a file of another kind."""
    if output.suffix.lower() not in (".png", ".html"):
        raise CliError(f"--output: {output.name!r} should end with .png or .html", UNUSABLE)


def write_sheet(
    out: Printer,
    client: Client,
    output: Path,
    rows: Mapping[str, Mapping[str, Any]],
    others: Sequence[str],
    columns: int | None,
) -> None:
    """``rows`` by template; ``others``: templates that are shown whether they have a row or not."""
    names = list(dict.fromkeys([*others, *sorted(rows)]))
    cells = [_cell(client, name, rows.get(name)) for name in names]
    write(out, output, cells, f"Model library: {len(rows)} models", columns)


def write(out: Printer, output: Path, cells: Sequence[Tile], title: str, columns: int | None = None) -> None:
    """Raises `CliError` for more than fits on one, or a file that cannot be written."""
    beside = columns or max(1, math.ceil(math.sqrt(len(cells)) * _WIDER))
    try:
        if output.suffix.lower() == ".html":
            output.write_text(page(cells, title), encoding="utf-8")
        else:
            output.write_bytes(draw(cells, title, columns=beside))
    except (ValueError, OSError) as error:
        raise CliError(f"the sheet cannot be written: {error}", UNUSABLE) from error
    if out.as_json:
        out.json({"file": str(output), "cells": len(cells)})
    out.say(f"{output}: {len(cells)} cells")


def _cell(client: Client, name: str, row: Mapping[str, Any] | None) -> Tile:
    if row is None:
        return Tile(b"", (name, "missing"))
    found = client.http.get(f"/api/v1/models/{segment(row['id'])}/thumbnail", follow_redirects=True)
    seed = row["metadata"].get("seed")
    label = f"version {row['version']}" + (f", seed {seed}" if seed is not None else "")
    return Tile(found.content if found.is_success else b"", (name, label))
