"""The checks of `make check` find what they are for."""

from pathlib import Path
from typing import Any

import pytest

from tests.tools.load import load

repeated_names: Any = load("repeated_names")
docstrings: Any = load("docstrings")
import_circles: Any = load("import_circles")


def write(folder: Path, files: dict[str, str]) -> Path:
    """A package ``shop`` with these files."""
    root = folder / "shop"
    for name, text in {"__init__.py": "", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def circles(root: Path) -> list[set[str]]:
    return [set(circle) for circle in import_circles.find_circles(import_circles.read_imports(root))]


def test_a_class_name_in_two_modules_is_found(tmp_path: Path):
    root = write(tmp_path, {"till.py": "class Order: ...", "kitchen.py": "class Order: ...\nclass Pan: ..."})
    assert repeated_names.find_repeats(root) == {"class Order": ["kitchen.py:1", "till.py:1"]}


def test_a_module_name_in_two_packages_is_found_unless_it_is_allowed(tmp_path: Path):
    files = {f"{package}/{name}.py": "" for package in ("front", "back") for name in ("shelf", "store")}
    repeats = repeated_names.find_repeats(write(tmp_path, files))
    assert repeats == {"module shelf": ["back/shelf.py", "front/shelf.py"]}


@pytest.mark.parametrize(
    "text",
    [
        "Of the rows.",
        "What it says.",
        "Whose it is.",
        "Who asks.",
        "Whom it tells.",
        "As before.",
        "None: all.",
    ],
)
def test_a_fragment_instead_of_a_sentence_is_refused(text: str):
    assert list(docstrings.find_refused(f'"""{text}"""')) == [(1, text)]
    assert list(docstrings.find_refused(f'def sell():\n    """{text}"""')) == [(2, text)]
    assert list(docstrings.find_refused(f'PRICE = 3\n"""{text}"""')) == [(2, text)]


@pytest.mark.parametrize(
    "text", ["Offers of today.", "Return the rows.", "None means all.", "Assets of a shop."]
)
def test_a_sentence_passes(text: str):
    assert list(docstrings.find_refused(f'"""{text}"""')) == []


def test_modules_that_import_each_other_at_run_time_are_a_circle(tmp_path: Path):
    files = {
        "a.py": "import shop.b",
        "b.py": "from shop import c",
        "c.py": "from shop.a import x",
        "d.py": "import shop.a",
    }
    assert circles(write(tmp_path, files)) == [{"shop.a", "shop.b", "shop.c"}]


@pytest.mark.parametrize(
    "late",
    [
        "def sell():\n    from shop.a import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shop.a import x",
        "from .a import x",
    ],
)
def test_lazy_type_only_and_relative_imports_count(tmp_path: Path, late: str):
    assert circles(write(tmp_path, {"a.py": "from shop.b import y", "b.py": late})) == [{"shop.a", "shop.b"}]


def test_a_package_that_imports_its_own_module_is_a_circle(tmp_path: Path):
    files = {"till/__init__.py": "from shop.till.coins import COINS", "till/coins.py": "COINS = ()"}
    assert circles(write(tmp_path, files)) == [{"shop.till", "shop.till.coins"}]


def test_imports_in_one_direction_are_no_circle(tmp_path: Path):
    files = {"a.py": "import shop.b, os", "b.py": "from shop.c import z", "c.py": "import json"}
    assert circles(write(tmp_path, files)) == []
