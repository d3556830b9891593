"""The CPU time that importing takes, by package: ``python -m benchmarks.imports [worker]`` prints a table."""

import gc
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader, SourceFileLoader
from importlib.metadata import packages_distributions, version
from typing import Any

ROUNDS = 5
_ROLES = {"serve": "Roles()", "worker": "Roles(api=False, scheduler=False)"}
_CHILD = """
from benchmarks.imports import measured
took = measured()
if {is_served}:
    from imagemill.web.framework import load_framework
    load_framework()
from imagemill.bootstrap.application import Application, Roles, application
from imagemill.config import Settings
mill = Application(Settings(_env_file=None, data_dir={folder!r}), {roles})
mill.start()
if mill.roles.api:
    import imagemill.cli.app, imagemill.cli.server
    application(mill)
mill.close()
import json
print(json.dumps(took))
"""


def measured() -> Counter[str]:
    """Return a counter of later imports: nanoseconds of CPU by module, without what it imports itself."""
    gc.disable()
    took: Counter[str] = Counter()
    inner: list[int] = []

    def timed(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def exec_module(loader: Any, module: Any) -> None:
            started = time.process_time_ns()
            inner.append(0)
            try:
                original(loader, module)
            finally:
                whole = time.process_time_ns() - started
                took[module.__name__] += whole - inner.pop()
                if inner:
                    inner[-1] += whole

        return exec_module

    for loader in (SourceFileLoader, ExtensionFileLoader):
        loader.exec_module = timed(loader.exec_module)  # type: ignore[method-assign]
    return took


def main(role: str = "serve") -> None:
    best: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        code = _CHILD.format(folder=folder, roles=_ROLES[role], is_served=role == "serve")
        for number in range(ROUNDS + 1):
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            if number == 0:
                continue  # it migrates the database and compiles the modules
            for name, took in json.loads(done.stdout).items():
                best[name] = min(took, best.get(name, took))
    cost: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for name, took in best.items():
        parts = name.split(".")
        package = ".".join(parts[: 2 if parts[0] == "imagemill" else 1])
        cost[package] += took
        count[package] += 1
    owners = packages_distributions()
    print("| package | modules | CPU |\n|---|---:|---:|")
    for package, took in cost.most_common(20):
        owner = owners.get(package)
        label = f"{package} {version(owner[0])}" if owner else package
        print(f"| {label} | {count[package]} | {took / 1e6:.0f} ms |")
    print(f"| all | {sum(count.values())} | {sum(cost.values()) / 1e6:.0f} ms |")


if __name__ == "__main__":
    main(*sys.argv[1:])
