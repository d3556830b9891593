"""A hook of MkDocs (see mkdocs.yml): build the site from the Markdown where it is.

MkDocs takes one folder, while our pages link README, CONTRIBUTING, examples and deploy beside docs/. So they
are copied into a temporary folder under the same names, and links of the repository work in the site.
"""

import shutil
import tempfile
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE")
FOLDERS = ("docs", "examples", "deploy")
STYLE = ".md-grid { max-width: 76rem; }  /* room for tables and drawings */\n"
_BUILDS: list[tempfile.TemporaryDirectory[str]] = []


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Copy all pages into a folder of their own, list the decisions, and read from there."""
    build = tempfile.TemporaryDirectory(prefix="docs-")
    _BUILDS.append(build)  # removed at the end of the process
    folder = Path(build.name)
    for name in PAGES:
        shutil.copy2(ROOT / name, folder)
    for name in FOLDERS:
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__")
        )
    (folder / "site.css").write_text(STYLE, encoding="utf-8")
    config.extra_css.append("site.css")
    config.docs_dir = str(folder)
    decisions = sorted(path.name for path in (ROOT / "docs/adr").glob("[0-9]*.md"))
    develop = next(section["Develop"] for section in config.nav if "Develop" in section)
    develop[-1]["Decisions"] += [f"docs/adr/{name}" for name in decisions]
    return config
