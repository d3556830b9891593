"""The order of a block's pages: the book's own, and pages that fill it to a count that the shop takes."""

from collections.abc import Sequence
from itertools import groupby

from imagemill.products.books.layout.findings import FindingCode, PrintFinding
from imagemill.products.books.layout.page_layouts import PageLayout
from imagemill.products.books.layout.profiles import PrintProfile

COVER_SIDES = 4
BLANK = PageLayout(number=0, kind="blank")


def block_count(profile: PrintProfile, pages: int) -> int:
    """Return the pages of a block with so many pages of the book, filled to a count that the shop takes."""
    rules = profile.pages
    cover = COVER_SIDES if rules.counted == "block_and_cover" else 0
    least = max(rules.least, pages + cover)
    return -(-least // rules.multiple) * rules.multiple - cover


def arrange(
    profile: PrintProfile, pages: Sequence[PageLayout], fill: Sequence[PageLayout] = ()
) -> tuple[tuple[PageLayout, ...], tuple[PrintFinding, ...]]:
    """Return the pages of the block in order, and findings about their number.

    Pages before the book come in pairs, so that each page of the book keeps its side: after an odd number
    of them stands an empty page.
    """
    needed = block_count(profile, len(pages)) - len(pages)
    used = list(fill[:needed])
    before = [page for page in used if page.before]
    after = [page for page in used if not page.before]
    if len(before) % 2 and needed > 1:
        if len(used) == needed:
            (after or before).pop()
        if len(before) % 2:
            before.append(BLANK)
    missing = needed - len(before) - len(after)
    block = (*before, *pages, *after, *[BLANK] * missing)
    return block, (*_count_findings(profile, block), *_blank_findings(profile, block))


def _count_findings(profile: PrintProfile, block: Sequence[PageLayout]) -> list[PrintFinding]:
    rules = profile.pages
    cover = COVER_SIDES if rules.counted == "block_and_cover" else 0
    if len(block) + cover <= rules.most:
        return []
    return [
        PrintFinding(
            "the book", 0, "error", FindingCode.PAGE_COUNT,
            f"the shop counts {len(block) + cover} pages; it takes at most {rules.most}",
            "use another print profile, or divide the book",
        )
    ]  # fmt: skip


def _blank_findings(profile: PrintProfile, block: Sequence[PageLayout]) -> list[PrintFinding]:
    most = profile.pages.blank_in_a_row
    longest = max(
        (len(list(group)) for is_blank, group in groupby(block, key=is_empty) if is_blank), default=0
    )
    if most is None or longest <= most:
        return []
    return [
        PrintFinding(
            "the book", 0, "error", FindingCode.BLANK_PAGES,
            f"{longest} empty pages follow each other; the shop takes at most {most}",
            f"add pages to the manifest's fill: the block has {len(block)} pages",
        )
    ]  # fmt: skip


def is_empty(page: PageLayout) -> bool:
    """Whether nothing is printed on the page but its background."""
    return page.picture is None and not any(block.is_visible for block in page.blocks)
