"""Contact sheets: labelled thumbnails on one picture or on one page of HTML."""

import base64
import html
import io
from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw, ImageFont

from imagemill.domain.dataclass import dataclass
from imagemill.media.pictures import EXTENSIONS
from imagemill.media.pixels import plain

MOST_PIXELS = 16_000_000
"""Most pixels of a picture; a larger one is shown as missing."""
MOST_CELLS = 1000
"""Most tiles on one picture: 1000 tiles of 160 pixels are 25 megapixels."""
_MARGIN = 16
_GAP = 10
_FONT_PX = 12
_LINE_PX = 15
_TITLE_PX = 20
_PAPER, _INK, _FAINT, _FRAME = "#ffffff", "#1c1f24", "#667080", "#e6e9ee"
_LONGEST_SIDE = 16_000
"""Most pixels a side of the sheet; WebP is limited to 16,383."""
_STYLE = """
:root { color-scheme: light dark; --frame: #8884; --faint: #808894; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem; }
h1 { font-size: 1.2rem; font-weight: 600; }
ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem; padding: 0; }
li { list-style: none; }
img, .none { width: 100%; aspect-ratio: 1; object-fit: contain; background: var(--frame); display: block; }
.none { display: grid; place-items: center; color: var(--faint); }
p { margin: .3rem 0 0; overflow-wrap: anywhere; }
p + p { color: var(--faint); margin: 0; font-size: .85em; }
"""


@dataclass(frozen=True, slots=True)
class Tile:
    """One thumbnail. ``picture``: a PNG, JPEG or WebP; empty if missing. The first of the ``lines`` is its
    name."""

    picture: bytes
    lines: tuple[str, ...] = ()


def draw(cells: Sequence[Tile], title: str, *, columns: int = 8, side_px: int = 160) -> bytes:
    """The sheet as a PNG. ``side_px``: the longer side of a thumbnail. Raises ValueError if it would be
    too large."""
    if len(cells) > MOST_CELLS:
        raise ValueError(f"{len(cells)} pictures are too many for one sheet; at most {MOST_CELLS}")
    columns = max(1, min(columns, len(cells) or 1))
    texts = [_wrap_lines(cell.lines, side_px) for cell in cells]
    rows = [range(start, min(start + columns, len(cells))) for start in range(0, len(cells), columns)]
    tall = [side_px + 4 + _LINE_PX * max(len(texts[index]) for index in row) + _GAP for row in rows]
    width = 2 * _MARGIN + columns * side_px + (columns - 1) * _GAP
    height = 2 * _MARGIN + _TITLE_PX + _GAP + sum(tall)
    if max(width, height) > _LONGEST_SIDE:
        raise ValueError(f"the sheet would be {width} x {height}; write fewer pictures, or smaller ones")
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN), title, _INK, ImageFont.load_default(_TITLE_PX))
    top = _MARGIN + _TITLE_PX + _GAP
    for row, rise in zip(rows, tall, strict=True):
        for column, index in enumerate(row):
            place = (_MARGIN + column * (side_px + _GAP), top)
            _draw_tile(sheet, pen, place, side_px, cells[index], texts[index])
        top += rise
    file = io.BytesIO()
    sheet.save(file, "PNG", compress_level=6)
    return file.getvalue()


def _draw_tile(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    side_px: int,
    cell: Tile,
    lines: Sequence[tuple[str, str]],
) -> None:
    left, top = place
    pen.rectangle((left, top, left + side_px - 1, top + side_px - 1), _FRAME)
    picture = _open_thumbnail(cell.picture, side_px)
    if picture is None:
        pen.text((left + 8, top + 8), "no picture", _FAINT, ImageFont.load_default(_FONT_PX))
    else:
        corner = (left + (side_px - picture.width) // 2, top + (side_px - picture.height) // 2)
        sheet.paste(picture, corner, picture if picture.mode == "RGBA" else None)
    for number, (line, colour) in enumerate(lines):
        pen.text(
            (left, top + side_px + 4 + number * _LINE_PX), line, colour, ImageFont.load_default(_FONT_PX)
        )


def _open_thumbnail(data: bytes, side_px: int) -> Image.Image | None:
    """Decode a thumbnail; None if the data is not a picture or is too large."""
    if not data:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return None
            picture.load()
            shown = plain(picture, data)
    except (OSError, ValueError, SyntaxError):
        return None
    shown.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    return shown


def _wrap_lines(lines: Sequence[str], width_px: int) -> list[tuple[str, str]]:
    """(line, colour) pairs; long lines are broken at blanks, commas and hyphens if possible."""
    font = ImageFont.load_default(_FONT_PX)
    return [
        (part, _FAINT if number else _INK)
        for number, line in enumerate(lines)
        for part in _break_line(line, font, width_px)
    ]


def _break_line(
    line: str, font: "ImageFont.FreeTypeFont | ImageFont.ImageFont", width_px: int
) -> Iterator[str]:
    rest = line
    while font.getlength(rest) > width_px:
        fits = next(
            end for end in range(len(rest) - 1, 0, -1) if font.getlength(rest[:end]) <= width_px or end == 1
        )
        after = max(rest.rfind(mark, 0, fits) for mark in " ,-") + 1
        end = after if after > fits // 2 else fits
        yield rest[:end].rstrip()
        rest = rest[end:].lstrip()
    if rest:
        yield rest


def page(cells: Sequence[Tile], title: str) -> str:
    """The sheet as one HTML page without scripts or other files; every text in it is escaped."""
    items = "\n".join(_item(cell) for cell in cells)
    shown = html.escape(title)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{shown}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{shown}</h1>\n"
        f"<ul>\n{items}\n</ul>\n</body>\n</html>\n"
    )


def _item(cell: Tile) -> str:
    name = html.escape(cell.lines[0]) if cell.lines else ""
    kind = _media_type(cell.picture)
    if kind is None:
        shown = '<div class="none">no picture</div>'
    else:
        data = base64.b64encode(cell.picture).decode()
        shown = f'<img alt="{name}" loading="lazy" src="data:{kind};base64,{data}">'
    return f"<li>{shown}{''.join(f'<p>{html.escape(line)}</p>' for line in cell.lines)}</li>"


def _media_type(data: bytes) -> str | None:
    """The media type by the file's first bytes; None if it is not a supported picture."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        found = "image/png"
    elif data.startswith(b"\xff\xd8\xff"):
        found = "image/jpeg"
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        found = "image/webp"
    else:
        return None
    return found if found in EXTENSIONS else None
