"""Contact sheets: one picture, or one page."""

import io
from html.parser import HTMLParser

import pytest
from PIL import Image

from imagemill.media.contact_sheet import Tile, draw, page


def picture(colour: str, kind: str = "PNG", size: tuple[int, int] = (60, 80)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    found = Image.open(io.BytesIO(data))
    assert found.format == "PNG"
    return found.convert("RGB")


def test_each_picture_is_on_the_sheet_at_its_place():
    cells = [Tile(picture(colour), (colour,)) for colour in ("#ff0000", "#00ff00", "#0000ff")]
    sheet = opened(draw(cells, "three", columns=2, side_px=80))
    found = {colour for _, colour in sheet.getcolors(1 << 20) or []}
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255)} <= found
    reds = [x for x in range(sheet.width) if sheet.getpixel((x, 100)) == (255, 0, 0)]
    greens = [x for x in range(sheet.width) if sheet.getpixel((x, 100)) == (0, 255, 0)]
    assert max(reds) < min(greens)


def test_labels_are_drawn_and_long_ones_stay_in_their_column():
    label = ("female-20-30-plus-size-front-standing-professional", "seed 4294967295")
    with_label = opened(draw([Tile(picture("#ff0000"), label)] * 2, "", columns=2, side_px=100))
    without = opened(draw([Tile(picture("#ff0000"))] * 2, "", columns=2, side_px=100))
    assert with_label.height > without.height
    between = range(16 + 100, 16 + 110)  # the gap between the columns
    drawn = [with_label.getpixel((x, y)) for x in between for y in range(160, with_label.height)]
    assert set(drawn) == {(255, 255, 255)}


@pytest.mark.parametrize("data", [b"", b"no picture", picture("#ff0000")[:40]])
def test_what_is_no_picture_is_said_to_be_none(data: bytes):
    assert opened(draw([Tile(data, ("lost",))], "one")).width > 0
    assert "no picture" in page([Tile(b"", ("lost",))], "one")


def test_a_sheet_of_nothing_has_its_title():
    assert opened(draw([], "nothing yet")).size > (0, 0)


def test_a_sheet_that_would_be_too_large_is_refused():
    with pytest.raises(ValueError, match="at most 1000"):
        draw([Tile(b"")] * 1001, "too many")
    with pytest.raises(ValueError, match="fewer pictures"):
        draw([Tile(b"")] * 200, "too tall", columns=1)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_holds_everything_and_runs_nothing():
    hostile = '"><script>alert(1)</script>'
    cells = [Tile(picture("#ff0000", kind), (hostile, "seed 7")) for kind in ("PNG", "JPEG", "WEBP")]
    reader = _Reader()
    reader.feed(page(cells, hostile))
    assert "script" not in [tag for tag, _ in reader.tags]
    images = [found for tag, found in reader.tags if tag == "img"]
    kinds = [str(found["src"]).partition(";")[0] for found in images]
    assert kinds == ["data:image/png", "data:image/jpeg", "data:image/webp"]
    assert {found["alt"] for found in images} == {hostile}
    assert reader.text.count("seed 7") == 3
