"""Write docs/print.md: the prose here, and tables from the print profiles and the codes of findings.

    python tools/print_profiles_page.py > docs/print.md

A test compares the file with what this program prints.
"""

from collections.abc import Iterator

from imagemill.products.books.layout import profiles
from imagemill.products.books.layout.findings import FindingCode
from imagemill.products.books.layout.imposition import block_count
from imagemill.products.books.layout.profiles import PrintProfile

HEAD = """\
# Print

<!-- Written by `python tools/print_profiles_page.py`; change that file, or
     src/imagemill/products/books/layout/profiles/*.toml. -->

Each personalised book becomes three PDF files: `block.pdf` with one page a sheet, `cover.pdf` with back,
spine and front on one sheet, and `spreads.pdf` for the screen, the first page alone and then pairs. A
*print profile* holds what the print shop wants. The book names one, or the installation
(`IMAGEMILL_BOOKS__PROFILE`).

- Text is vector: shaped, in embedded fonts, set by [Typst](https://typst.app) for the preview and for
  print. The preview is a picture of the very page that is printed, without its bleed.
- Lines of a text are made about equally long, and no word stands alone on the last one where that can be
  helped.
- A page's JPEG is embedded byte for byte. What was approved is what is printed.
- MediaBox and BleedBox are the sheet with its bleed, TrimBox is the cut. A picture covers page and bleed on
  all four sides; where the shop wants no bleed at the spine, the sheet ends there, and the page shows the
  same part of the picture.
- The only metadata is the title, which does not hold the child's name. The same book gives the same bytes.

## Check with the shop

**No figure below replaces the shop's own page.** Shops change figures, and third parties disagree about
them. Compare sizes, bleed, spine and number of pages with the shop's template for your product, and order
one copy before you sell any. Each figure has its source and its doubt.

"""
OWN = """\
## A profile of your own

Write a TOML file, named like its `slug`, into the folder `profiles` of the books' folder
(`IMAGEMILL_BOOKS__FOLDER`). A file with the name of a profile above replaces it. All lengths are in
millimetres.

```toml
slug = "my-printer-20cm"
shop = "My printer"
product = "Picture book, 20 cm square, hard cover"
dated = 2026-11-28            # when the figures were checked

[page]
width = 200                   # the trimmed page
height = 200
bleed = { top = 3, bottom = 3, outer = 3, inner = 3 }
safe = 10                     # from the cut to the text
safe_inner = 14               # from the spine to the text; as safe if left out
dpi = 300                     # less is a warning
least_dpi = 200               # less is an error
least_text_pt = 7             # smaller text is an error

[pages]
least = 24
most = 120
multiple = 4
blank_in_a_row = 2            # most empty pages in a row; any number if left out
counted = "block"             # or block_and_cover, which adds the four sides of the cover

[cover]
kind = "hard"                 # or soft
bleed = 0                     # cut off all around
wrap = 18                     # folded around the boards
hinge = 8                     # between spine and board
board_width = -5              # how much wider than the page
board_height = 6
safe = 10
spine = { table = [[40, 6.0], [80, 8.5]], text_from_pages = 60, text_margin = 2 }
barcode = { width = 50, height = 30, right = 6, bottom = 6 }  # from the spine's fold and the lower edge

[output]
files = "block_and_cover"     # or cover_first: one PDF whose first page is the cover
standard = "pdf-1.7"          # or pdf-x-4
condition = ""                # the printing condition of PDF/X-4, such as FOGRA51
transparency = true           # false: blurred shadows are a warning

[[figures]]
fields = ["cover.spine"]
source = "the printer's mail of 28 November"
doubt = "for paper of 150 g"
```

The spine is `pages x per_page + added`, or the row of `table` for so many pages and fewer. A thinner book
than `text_from_pages` has no text on the spine. A file with an error is refused, and the message names the
file, the field and the remedy.

## The number of pages

A book that is shorter than the shop's least number, or that has no multiple of it, is filled by the pages
in the manifest's `fill`, in its order, as many as are needed; then by empty ones at the end. Pages that
stand before the book come in pairs, so that each page of the book keeps its side: after a single title page
stands an empty page.

## Preflight

Each page is checked when it is made, and the whole book before it is printed. An error stops the print
files; a warning is on the proof sheet. A finding names the page and the remedy. It cites no text, which may
hold the child's name.

"""
X4 = """\
## PDF/X-4

A profile with `standard = "pdf-x-4"` asks for an output intent: the ICC profile of the press. Name its file
in `IMAGEMILL_BOOKS__ICC_PROFILE`; without it nothing is printed. The files then have the output intent, the
identification as PDF/X-4, PDF 1.6, boxes, embedded fonts, `Trapped`, an ID, and sRGB as the meaning of all
RGB colours. The press converts them; nothing is converted here. Blurred shadows are transparent, which
PDF/X-4 allows.

Not checked: whether the shop's own preflight accepts the files, the total ink after conversion, overprint,
and whether the ICC profile fits the paper. Send a file to the shop's preflight before the first order.
"""
MEANINGS: dict[FindingCode, tuple[str, str]] = {
    FindingCode.PICTURE_MISSING: ("error", "A page has no picture, though it should have one."),
    FindingCode.PICTURE_UNUSABLE: ("error", "A picture is damaged, or no RGB or grey JPEG."),
    FindingCode.PICTURE_DPI: (
        "warning or error",
        "The picture has fewer dots per inch at its size in print than `dpi`, or `least_dpi`.",
    ),
    FindingCode.PICTURE_CROPPED: ("warning", "More than 3 % are cut off, since the ratio is not the page's."),
    FindingCode.TEXT_OUTSIDE: (
        "error",
        "Letters, with their outline, reach out of the safe zone or the page.",
    ),
    FindingCode.TEXT_OVERFLOW: (
        "error",
        "A word is wider than its box, or the text is higher than the safe zone.",
    ),
    FindingCode.TEXT_WIDOW: (
        "warning",
        "The last line is a single word, and the one before does not fit beside it.",
    ),
    FindingCode.TEXT_SMALL: ("warning or error", "Text is smaller than 10 points, or `least_text_pt`."),
    FindingCode.TEXT_CONTRAST: (
        "warning or error",
        "The contrast to outline, shadow or picture beneath is below that of WCAG: 4.5, and 3 from 18 points "
        "on. Below 1.5 it is an error.",
    ),
    FindingCode.TEXT_OVERLAP: ("warning", "Two texts overlap."),
    FindingCode.FACE_NOT_SCORED: ("warning", "A face was not found, so it has no identity score."),
    FindingCode.TEXT_ON_FACE: ("warning", "Text lies on a face."),
    FindingCode.TEXT_INVISIBLE: ("warning", "Text has invisible characters, such as marks of direction."),
    FindingCode.GLYPH_MISSING: ("error", "The font has no glyph for a character."),
    FindingCode.FONT_UNUSABLE: ("error", "A font file cannot be read, or there is no such family."),
    FindingCode.SPINE_TEXT: ("error", "The text of the spine does not fit."),
    FindingCode.BARCODE_COVERED: ("error", "Text lies where the shop prints the barcode."),
    FindingCode.PAGE_COUNT: ("error", "The book has more pages than the shop takes."),
    FindingCode.BLANK_PAGES: ("error", "More empty pages follow each other than the shop takes."),
    FindingCode.TRANSPARENCY: ("warning", "A shadow is blurred, and the shop wants no transparency."),
    FindingCode.BOXES: ("error", "A second library reads other boxes than intended."),
    FindingCode.OUTPUT_INTENT: ("error", "PDF/X-4 is asked for, and there is no usable ICC profile."),
}


def page() -> str:
    """Return the whole page."""
    parts = [HEAD, *_overview(), "\n"]
    for profile in profiles.load().values():
        parts += [*_sources(profile), "\n"]
    parts += [OWN, "| code | level | meaning |\n|---|---|---|\n"]
    parts += [f"| `{code}` | {level} | {meaning} |\n" for code, (level, meaning) in MEANINGS.items()]
    return "".join([*parts, "\n", X4])


def _overview() -> Iterator[str]:
    yield "| profile | page, mm | bleed, mm | safe zone, mm | pages | cover | least spine | files |\n"
    yield "|---|---|---|---|---|---|---|---|\n"
    for profile in profiles.load().values():
        page, pages, cover = profile.page, profile.pages, profile.cover
        bleeds = (page.bleed.top, page.bleed.bottom, page.bleed.outer, page.bleed.inner)
        bleed = f"{bleeds[0]:g}" if len(set(bleeds)) == 1 else f"{bleeds[0]:g}, at the spine {bleeds[3]:g}"
        least = block_count(profile, 1)
        files = "one, cover first" if profile.output.files == "cover_first" else "block and cover"
        yield (
            f"| `{profile.slug}`: {profile.product} "
            f"| {page.width:g} x {page.height:g} | {bleed} | {page.safe:g} "
            f"| {pages.least} to {pages.most}, times {pages.multiple} | {cover.kind} "
            f"| {cover.spine.width(least):.2f} mm at {least} pages | {files} |\n"
        )


def _sources(profile: PrintProfile) -> Iterator[str]:
    yield f"### {profile.slug}\n\n"
    shop = f"[{profile.shop}]({profile.url})" if profile.url else profile.shop
    yield f"{profile.product}. Shop: {shop}. Figures of {profile.dated:%d %B %Y}; check with the shop.\n\n"
    yield "| figures | source | doubt |\n|---|---|---|\n"
    for figure in profile.figures:
        fields = ", ".join(f"`{field}`" for field in figure.fields)
        source = f"<{figure.source}>" if figure.source.startswith("https://") else figure.source
        yield f"| {fields} | {source} | {figure.doubt} |\n"


if __name__ == "__main__":
    print(page(), end="")
