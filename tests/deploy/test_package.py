"""The wheel, and what an installation without extras brings along."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.cli.programs import image_job, running
from tests.cli.programs import run as cli

ROOT = Path(__file__).parents[2]
MOST_BYTES = 130 * 10**6
LEFT_TO_EXTRAS = {
    "celery",
    "cryptography",
    "fal-client",
    "numpy",
    "obstore",
    "onnxruntime",
    "opentelemetry-sdk",
    "psycopg",
}
REPLACED = {"glin-profanity", "urllib3"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as file:
        yield file


def metadata_of(wheel: zipfile.ZipFile) -> Message:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_the_wheel_has_its_types_and_its_data(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert "imagemill/py.typed" in names
    shipped = [
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src/imagemill").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert set(shipped) <= names
    assert {name for name in names if name.startswith("tests/")} == set()


def test_heavy_packages_are_left_to_extras(wheel: zipfile.ZipFile) -> None:
    required = [Requirement(text) for text in metadata_of(wheel).get_all("Requires-Dist") or ()]
    base = {each.name for each in required if each.marker is None or "extra" not in str(each.marker)}
    extras = {each.name for each in required} - base
    assert not base & (LEFT_TO_EXTRAS | REPLACED)
    assert extras >= LEFT_TO_EXTRAS
    assert not {each.name for each in required} & REPLACED


def test_a_base_installation_stays_small() -> None:
    found = closure("imagemill")
    assert not found.keys() & (LEFT_TO_EXTRAS | REPLACED)
    sizes = {name: size_of(each) for name, each in found.items() if name != "imagemill"}
    sizes["imagemill"] = sum(
        path.stat().st_size
        for path in (ROOT / "src/imagemill").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    assert sum(sizes.values()) <= MOST_BYTES, sorted(sizes.items(), key=lambda each: -each[1])[:10]


def closure(name: str) -> dict[str, Distribution]:
    """The distributions that one without extras needs, by their normalised names."""
    found: dict[str, Distribution] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(name, frozenset())]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted, extras = each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        found[wanted] = distribution(wanted)
        for text in found[wanted].requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                normalised = re.sub(r"[-_.]+", "-", requirement.name).lower()
                waiting.append((normalised, frozenset(requirement.extras)))
    return found


def size_of(found: Distribution) -> int:
    paths = [Path(str(found.locate_file(file))) for file in found.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file())


WITHOUT = """
import sys
for name in {names!r}:
    sys.modules[name] = None
"""


@pytest.fixture
def lean(tmp_path: Path) -> dict[str, str]:
    """The environment of a program that finds no NumPy and no cryptography."""
    folder = tmp_path / "lean"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WITHOUT.format(names=("numpy", "cryptography")))
    return {"PYTHONPATH": str(folder)}


def test_a_server_without_extras_runs_and_names_the_extra_that_a_recipe_needs(
    tmp_path: Path, lean: dict[str, str]
) -> None:
    with running("serve", "--port", "0", cwd=tmp_path, **lean) as program, program.client() as client:
        answer = client.post("/v1/consumer/jobs?wait=true", json=image_job())
        assert answer.status_code == 200, answer.text
        assert answer.json()["jobs"][0]["result"]
        sheet = {"name": "Lia", "gender": "woman", "physical": "red hair", "attire": "a dress"}
        sticker = {"character_id": "lia", "emotion": "happy", "character": {**sheet, "style": "anime"}}
        keyed = client.post("/api/v1/jobs", json={"recipe": "sticker", "input": sticker})
        path = "/fal/fal-ai/flux/dev?fal_webhook=https://hooks.example/a"
        signed = client.post(path, json={"prompt": "a fox"})
    for answer, extra in ((keyed, "pixels"), (signed, "crypto")):
        assert answer.status_code == 501, answer.text
        assert f"pip install 'imagemill[{extra}]'" in answer.text
    assert keyed.json()["type"] == "urn:imagemill:problem:missing_extra"


def test_tokens_of_key_pairs_name_the_extra_they_need(tmp_path: Path, lean: dict[str, str]) -> None:
    settings = {"IMAGEMILL_AUTH__JWT_ALGORITHM": "EdDSA", "IMAGEMILL_AUTH__JWT_SECRET_KEY": "x" * 40}
    done = cli("serve", "--port", "0", cwd=tmp_path, **lean, **settings)
    assert done.returncode != 0
    assert "pip install 'imagemill[crypto]'" in done.stderr
