"""The licences of the packages in the image: each permits commercial use, and none asks for our source."""

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest

from tests.deploy.compose import FOLDER, ROOT
from tests.deploy.container import DOCKERFILE
from tests.deploy.test_images import pins

PERMISSIVE = re.compile(
    r"(?i)\b(apache|bsd|0bsd|isc|mit(-cmu)?|mpl|mozilla|psf|python software|boost|bsl-1\.0|zpl|hpnd)\b"
)
BINDING = re.compile(r"(?i)\b(a?gpl|affero|general public|non-?commercial|cc-by-nc|sspl|busl)")
DYNAMICALLY_LINKED = {"psycopg", "psycopg-binary", "psycopg-pool"}
"""LGPL: they are used as they are, and can be replaced in the image."""
STATED_ELSEWHERE = {"fal-client": "Apache-2.0"}
"""In the repository, while the package's metadata names none."""
RESEARCH_ONLY = "shape_predictor_68_face_landmarks.dat"
"""Trained on pictures that exclude commercial use; it comes with the face models that books use."""


def licence_of(name: str) -> str:
    found = metadata(name)
    given = [found.get("License-Expression") or "", *(found.get_all("Classifier") or ())]
    classified = [text for text in given if text and (text.startswith("License") or "::" not in text)]
    named = "; ".join(classified) or (found.get("License") or "").strip().partition("\n")[0]
    return named or STATED_ELSEWHERE[name]


@pytest.mark.parametrize("name", sorted(pins(FOLDER / "requirements.txt")))
def test_a_package_of_the_image_may_be_used_commercially(name: str) -> None:
    try:
        licence = licence_of(name)
    except PackageNotFoundError:
        pytest.skip("it is for another platform")
    assert PERMISSIVE.search(licence) or name in DYNAMICALLY_LINKED, licence
    assert not BINDING.search(licence.replace("Lesser General Public", "")) or name in DYNAMICALLY_LINKED, (
        licence
    )


def test_the_image_has_no_face_model_for_research_only() -> None:
    assert f"-name {RESEARCH_ONLY} -delete" in DOCKERFILE.read_text(encoding="utf-8")
    named = [
        path
        for path in (ROOT / "src").rglob("*.py")
        if RESEARCH_ONLY.removesuffix(".dat") in path.read_text(encoding="utf-8")
    ]
    assert named == list[Path]()
