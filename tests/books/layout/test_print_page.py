"""The documentation of print."""

from pathlib import Path

from imagemill.products.books.layout import profiles
from imagemill.products.books.layout.findings import FindingCode
from tools.print_profiles_page import MEANINGS, OWN, page

ROOT = Path(__file__).parents[3]


def test_the_page_is_what_the_tool_writes():
    """If it fails, run: python tools/print_profiles_page.py > docs/print.md"""
    assert (ROOT / "docs" / "print.md").read_text() == page()


def test_every_finding_is_explained():
    assert set(MEANINGS) == set(FindingCode)


def test_the_example_profile_is_valid(tmp_path):
    text = OWN.split("```toml\n")[1].split("```")[0]
    (tmp_path / "my-printer-20cm.toml").write_text(text)
    found = profiles.find("my-printer-20cm", tmp_path)
    assert found.cover.spine.width(60) == 8.5
    assert found.safe_box == (14, 10, 172, 180)
