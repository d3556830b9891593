"""The drawing in `imagemill.domain.errors` shows every error class of the package."""

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

import imagemill
from imagemill.domain import errors

_ROOT = Path(imagemill.__file__).parent
_LINE = re.compile(r"( +)(\w+) +([\w.]+)(?: .*)?")
_FOREIGN = {"builtins", "httpx2"}

Tree = dict[str, tuple[str, str]]
"""Class -> module and base."""


def drawn() -> Tree:
    tree: Tree = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if (match := _LINE.fullmatch(line)) and len(match[1]) >= 4:
            depth = len(match[1]) // 2 - 2
            above = [*above[:depth], match[2]]
            tree[match[2]] = (match[3], above[depth - 1] if depth else "")
    return tree


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for path in sorted(_ROOT.rglob("*.py")):
        module = ".".join(path.relative_to(_ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                yield module, node


def defined() -> Tree:
    """Read from the source, as some modules cannot be imported beside each other."""
    found = {
        node.name: (module, ast.unparse(node.bases[0]).rpartition(".")[2] if node.bases else "")
        for module, node in classes()
    }

    def is_error(name: str) -> bool:
        if name in found:
            return found[name][1] != name and is_error(found[name][1])
        known = getattr(builtins, name, None)
        return (
            name.endswith("Error")
            if known is None
            else isinstance(known, type) and issubclass(known, Exception)
        )

    return {name: found[name] for name in found if is_error(name) and not name.startswith("_")}


def test_the_drawing_shows_each_error_class_with_its_module_and_base():
    real = {name: place for name, place in drawn().items() if place[0] not in _FOREIGN}
    assert real == defined()


def test_each_error_that_may_reach_a_user_has_a_code():
    tree = {name: base for name, (_, base) in drawn().items()}
    coded = {node.name for _, node in classes() if re.search(r"\bcode = ", ast.unparse(node))}

    def lineage(name: str) -> list[str]:
        return [name, *lineage(tree[name])] if name in tree else []

    for name in tree.keys() - set(tree.values()):
        above = lineage(name)
        if "ImagemillError" in above:
            assert coded.intersection(above) - {"ImagemillError"}, name
