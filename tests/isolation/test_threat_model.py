"""What docs/security.md says is defended by a test is."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", (ROOT / "docs/security.md").read_text())))


def test_the_threat_model_names_tests():
    assert len(NAMED) > 15
    assert {name for name in NAMED if name.startswith("tests/isolation/")}


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_the_threat_model_names_exists(name: str):
    path, _, function = name.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    found = {each for each in tests if each.startswith("test_")}
    assert function in found if function else found
