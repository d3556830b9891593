"""Refuse import circles among the modules of src/imagemill, and more than four modules in its root.

All imports count, also those inside functions and those for type checking only. A module depends on the
packages it is in, so an `__init__` that imports a submodule of its own package makes a circle.
"""

import ast
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

SOURCE = Path("src/imagemill")
MOST_ROOT_MODULES = 5

ALLOWED = {
    ("imagemill.dispatch.celery", "imagemill.bootstrap.application"): "Celery's command starts this module",
}
"""Importing module and imported one -> the reason why this import does not count."""

EXEMPT = ()
"""Modules whose imports do not count yet: packages that import their own modules, one module in two parts."""

Graph = Mapping[str, Mapping[str, int]]
"""Module -> imported module -> line of the import; 0 for the package that a module is in."""


def read_imports(root: Path) -> Graph:
    """Return the imports of all modules below ``root``, which is the folder of a package."""
    paths = {_name(root, path): path for path in sorted(root.rglob("*.py")) if "migrations" not in path.parts}
    graph: dict[str, dict[str, int]] = {}
    for module, path in paths.items():
        found: dict[str, int] = dict.fromkeys(_packages(module), 0)
        for target, line in _targets(ast.parse(path.read_text()), module, is_package=path.stem == "__init__"):
            known = target if target in paths else target.rpartition(".")[0]
            for each in (known, *_packages(known)):
                if each in paths and module not in EXEMPT and (module, each) not in ALLOWED:
                    found.setdefault(each, line)
        found.pop(module, None)
        graph[module] = found
    return graph


def _name(root: Path, path: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _packages(module: str) -> Iterator[str]:
    """Yield the packages around a module, the innermost first."""
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


def _targets(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                around = [module, *_packages(module)] if is_package else list(_packages(module))
                base = f"{around[node.level - 1]}.{base}".rstrip(".")
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def find_circles(graph: Graph) -> list[list[str]]:
    """Return a shortest circle for each group of modules that import each other."""
    circles: list[list[str]] = []
    seen: set[str] = set()
    for module in sorted(graph):
        if module not in seen and (circle := _shortest_circle(graph, module)):
            circles.append(circle)
            reach = _reachable(graph, module)
            seen |= {each for each in reach if module in _reachable(graph, each)}
    return circles


def _shortest_circle(graph: Graph, start: str) -> list[str]:
    """Return the modules of a shortest circle through ``start``, or nothing."""
    came_from: dict[str, str] = {}
    queue = deque([start])
    while queue:
        module = queue.popleft()
        for target in graph[module]:
            if target == start:
                circle = [module]
                while circle[-1] != start:
                    circle.append(came_from[circle[-1]])
                return circle[::-1]
            if target not in came_from:
                came_from[target] = module
                queue.append(target)
    return []


def _reachable(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    queue = [start]
    while queue:
        for target in graph[queue.pop()]:
            if target not in found:
                found.add(target)
                queue.append(target)
    return found


def describe(graph: Graph, circle: list[str]) -> str:
    """Return the circle in a line, with the line of each import."""
    steps = [
        f"{module} (line {graph[module][target]})" if graph[module][target] else f"{module} (its package)"
        for module, target in zip(circle, [*circle[1:], circle[0]], strict=True)
    ]
    return " -> ".join([*steps, circle[0]])


def main() -> int:
    graph = read_imports(SOURCE)
    circles = find_circles(graph)
    for circle in circles:
        print(f"import circle: {describe(graph, circle)}")
    root_modules = sorted(path.name for path in SOURCE.glob("*.py"))
    too_many = len(root_modules) > MOST_ROOT_MODULES
    if too_many:
        print(f"{SOURCE}: at most {MOST_ROOT_MODULES} modules, not {', '.join(root_modules)}")
    return 1 if circles or too_many else 0


if __name__ == "__main__":
    sys.exit(main())
