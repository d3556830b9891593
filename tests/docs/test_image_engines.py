"""The page about pictures of Civitai v2 has the tables of the code."""

from pathlib import Path

from imagemill.dialects.civitai_v2.vendors import VENDORS
from imagemill.domain import images
from tools import image_engines

PAGE = Path(__file__).parents[2] / "docs" / "civitai-v2-pictures.md"


def test_the_tables_are_those_of_the_code() -> None:
    page = PAGE.read_text()
    for rows in (image_engines.leaves(), image_engines.vendors()):
        assert "\n".join(rows) in page, "run: python tools/image_engines.py"


def test_the_page_names_every_sampler_without_an_equal() -> None:
    page = PAGE.read_text()
    for table in (images.SDCPP_METHODS, images.SDCPP_SCHEDULES):
        values = list(table.values())
        for name, value in table.items():
            if values.count(value) > 1 and name != value and name not in ("dpm++2m", "discrete"):
                assert f"`{name}`" in page, name


def test_the_page_names_the_fields_without_effect() -> None:
    page = PAGE.read_text()
    names = {"promptExtend", "watermark", "intensity", "complexity", "movement", "enableGoogleSearch"}
    assert {name for name in names if f"`{name}`" not in page} == set()
    assert any(vendor.ignored for vendor in VENDORS)
