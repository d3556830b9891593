"""Whatever the documentation names exists, and its examples work."""

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image, ImageDraw

from imagemill.backends.simulator.settings import Fault
from imagemill.bootstrap.settings_check import CLIENT_NAMES
from imagemill.cli.app import app
from imagemill.domain.failures import FailureCode
from imagemill.domain.moderation import ModerationInput, PromptTexts
from imagemill.safety.chain import CheckChain

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`[^`\n]+`")
COMMANDS: Any = typer.main.get_command(app)
FORMER = "## Former settings"
UNCLEAR = re.compile(
    r"simulator rests|costs a try|do not come to|is succeeded|takes no more jobs|socket opens and greets"
    r"|\b(node|all|attic) is well\b|this process leads|held to limits|\bdearest\b|holds the office|whose twin"
    r"|tells strangers|part is ill|\btold by\b|are read over\b|tells of them|drawn into data_dir"
    r"|have somebody told|\banew after\b|drawn anew|next in fair order",
    re.IGNORECASE,
)
"""Phrases for which the field has a word: disable, retry, overflow, healthy, leader, image-to-image, ..."""


def each_page():
    return pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def commands(page: Path) -> str:
    """Return the code of a page: fenced blocks of a shell, and inline code."""
    text = page.read_text(encoding="utf-8")
    blocks = [body for language, body in FENCE.findall(text) if language in ("sh", "text")]
    return "\n".join([*blocks, *CODE.findall(FENCE.sub("", text))])


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, formed as on GitHub."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@each_page()
def test_links_resolve(page: Path):
    lost: list[str] = []
    for target in LINK.findall(CODE.sub("", prose(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            lost.append(target)
    assert not lost


@pytest.mark.parametrize("folder", ["docs", "src", "deploy", "README.md"])
def test_texts_use_the_words_of_the_field(folder: str):
    files = [ROOT / folder] if folder.endswith(".md") else sorted((ROOT / folder).rglob("*.*"))
    read = [
        file for file in files if file.suffix in (".md", ".py", ".toml", ".html", ".js", ".yml", ".service")
    ]
    assert read
    found = [
        f"{file.relative_to(ROOT)}: {phrase}"
        for file in read
        for phrase in UNCLEAR.findall(" ".join(file.read_text(encoding="utf-8").split()))
    ]
    assert found == []


@each_page()
def test_make_targets_exist(page: Path):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", commands(page))) <= targets


@each_page()
def test_commands_exist(page: Path):
    unknown: list[str] = []
    # An entry point group is written with a dot, a package with a slash: neither is a call.
    for line in re.findall(r"(?<![\w./-])imagemill((?: [a-z]+)+)", commands(page)):
        command = COMMANDS
        for word in line.split():
            below = getattr(command, "commands", None)
            if below is None:
                break  # an argument
            if word not in below:
                unknown.append(line)
                break
            command = below[word]
    assert not unknown


@each_page()
def test_json_parses(page: Path):
    for language, body in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "json":
            json.loads(body)


@each_page()
def test_settings_exist(page: Path):
    text = page.read_text(encoding="utf-8")
    reference = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    # Only the reference itself and the changelog may name former settings.
    current = reference if page.name in ("settings.md", "CHANGELOG.md") else reference.partition(FORMER)[0]
    listed = set(re.findall(r"`(IMAGEMILL_\w+)`", current))
    named = set(re.findall(r"\bIMAGEMILL_[A-Z_]*[A-Z]\b", text))
    examples = {"IMAGEMILL_POSTCARDS__STEPS", "IMAGEMILL_GRADIENT__SLOTS"}  # of products.md and plugins.md
    assert named <= listed | CLIENT_NAMES | examples


def test_the_simulators_page_names_every_fault_and_no_other():
    text = (ROOT / "docs/simulator.md").read_text(encoding="utf-8")
    table = text.partition("| fault |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(Fault)
    assert set(re.findall(r'"?fault"?(?:: | = )"(\w+)"', text)) <= set(Fault)


def test_the_page_of_jobs_names_every_failure_and_no_other():
    text = (ROOT / "docs/job-lifecycle.md").read_text(encoding="utf-8")
    table = text.partition("| type | retried |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(FailureCode)


def test_the_example_of_a_check_rewrites_a_prompt():
    text = (ROOT / "docs/safety.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(next(body for language, body in FENCE.findall(text) if language == "python"), names)
    judged = CheckChain([names["Tame"]()]).judge(ModerationInput(PromptTexts("a wild sea"), "ann", "comfy"))
    assert judged.texts.prompt == "a calm sea"


def test_the_example_of_post_processing_makes_a_picture_and_a_thumbnail():
    text = (ROOT / "docs/pixels.md").read_text(encoding="utf-8")
    canvas = Image.new("RGB", (768, 1152), "#00FF00")
    ImageDraw.Draw(canvas).ellipse((200, 200, 500, 900), fill="#803010")
    canvas.save(png := BytesIO(), "PNG")
    names: dict[str, Any] = {
        "png": png.getvalue(),
        "job_id": "j",
        "attempt": 1,
        "started_us": 0,
        "seed": 1,
        "model": "m",
        "owner_hash": "o",
    }
    exec(next(body for language, body in FENCE.findall(text) if language == "python"), names)
    assert names["picture"].media_type == "image/webp"
    assert max(names["thumbnail"].width, names["thumbnail"].height) == 256
