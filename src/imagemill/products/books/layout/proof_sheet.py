"""The proof sheet: every page's preview with its number, score, redraws and findings, several a sheet."""

import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import typst
from PIL import Image

from imagemill.media.page_work import PageFile, PageResult
from imagemill.products.books.layout.page_layouts import BUILT_IN_FONTS
from imagemill.products.books.layout.pdf_files import FORMAT, PdfFacts, join
from imagemill.products.books.layout.proof_pages import ProofPage, ProofSheet

COLUMNS = 4
PREVIEW_PX = 540
"""On 44 mm these are 310 dpi."""
MOST_FINDINGS = 200
CLEAR_SCORE = 0.1
"""A score this far above the limit is good."""


def lay_proof(proof: ProofSheet, inputs: Mapping[str, bytes]) -> PageResult:
    """Do `imagemill.products.books.layout.works.LayProof`."""
    with tempfile.TemporaryDirectory(prefix="imagemill-proof-") as folder:
        root = Path(folder)
        for name in proof.fonts.inputs:
            (root / f"{name}.ttf").write_bytes(inputs.get(name, b""))
        known = typst.Fonts(include_system_fonts=False, font_paths=[root])
        own = sorted({font.family for font in known.fonts() if font.path is not None})
        cells = [_cell(page, number, inputs, root, proof.limit) for number, page in enumerate(proof.pages)]
        (root / "proof.typ").write_bytes(
            files("imagemill.products.books.layout").joinpath("proof.typ").read_bytes()
        )
        data = {**_head(proof), "cells": cells, "families": [BUILT_IN_FONTS.family, *own]}
        packages = root / "no-packages"
        compiler = typst.Compiler(
            root / "proof.typ", root, known, package_path=packages, package_cache_path=packages
        )
        made = compiler.compile(
            sys_inputs={"data": json.dumps(data)}, format="pdf", pdf_tags=False, timestamp=0
        )
    assert isinstance(made, bytes)  # noqa: S101 - one file without an output path
    return PageResult((PageFile(join([made], PdfFacts(proof.title, "en")), FORMAT),))


def _head(proof: ProofSheet) -> dict[str, Any]:
    profile = proof.profile
    every = [*proof.findings, *(finding for page in proof.pages for finding in page.findings)]
    ordered = sorted(every, key=lambda finding: finding["level"] != "error")
    flagged = sum(page.flagged for page in proof.pages)
    facts = {
        "Print profile": f"{profile.product}; {profile.shop} ({profile.slug})",
        "Date": proof.dated,
        "Trimmed page": f"{profile.page.width:g} x {profile.page.height:g} mm",
        "Pages shown": str(len(proof.pages)),
        "Findings": _count_levels(every) or "none",
        "Unlike the reference": _count(flagged, "page"),
        **proof.facts,
    }
    left_out = len(ordered) - MOST_FINDINGS
    return {
        "title": proof.title or "Proof",
        "facts": list(facts.items()),
        "findings": [_finding(finding) for finding in ordered[:MOST_FINDINGS]],
        "more": f"and {left_out} more" if left_out > 0 else None,
        "legend": "The number beside a page is its likeness to the approved reference, from 0 to 1: "
        f"green from {min(1.0, proof.limit + CLEAR_SCORE):.2f}, brown from {proof.limit:.2f}, red below. "
        "A red frame marks a page with an error, one without a picture, or one that is unlike the reference. "
        "The book is printed when no error is left.",
        "columns": COLUMNS,
    }


def _cell(
    page: ProofPage, number: int, inputs: Mapping[str, bytes], root: Path, limit: float
) -> dict[str, Any]:
    preview = _write_preview(inputs.get(page.preview or ""), root / f"preview-{number}.jpg")
    lines = [
        (f"redrawn {_count(page.redraws, 'time')}" if page.redraws else "", False),
        (_count_levels(page.findings), False),
        ("unlike the reference" if page.flagged else "", True),
        (page.note, True),
    ]
    has_error = any(finding["level"] == "error" for finding in page.findings)
    return {
        "name": page.name,
        "preview": preview,
        "score": None if page.score is None else f"{page.score:.2f}",
        "grade": _grade(page.score, limit),
        "marked": page.flagged or preview is None or has_error,
        "lines": [{"text": text, "bad": bad} for text, bad in lines if text],
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _count_levels(findings: Sequence[Mapping[str, Any]]) -> str:
    levels = [finding["level"] for finding in findings]
    counts = ((levels.count(level), level) for level in ("error", "warning"))
    return ", ".join(_count(number, level) for number, level in counts if number)


def _grade(score: float | None, limit: float) -> str:
    if score is None:
        return "unknown"
    if score < limit:
        return "bad"
    return "good" if score >= limit + CLEAR_SCORE else "near"


def _finding(finding: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(finding[name]) for name in ("place", "level", "message", "remedy")}


def _write_preview(data: bytes | None, file: Path) -> str | None:
    """Write a smaller copy of a preview; return its name, or None if it is no picture."""
    if data is None:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            picture.draft("RGB", (PREVIEW_PX, PREVIEW_PX))
            shown = picture.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return None
    shown.thumbnail((PREVIEW_PX, PREVIEW_PX), Image.Resampling.LANCZOS)
    shown.save(file, "JPEG", quality=88, subsampling=0)
    return file.name
