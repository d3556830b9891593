"""Manifests for tests of the routes: as small as a manifest can be."""

from typing import Any

from imagemill.products.books.book_manifest import BookManifest


def manifest(*, children: int = 1) -> BookManifest:
    """Return a book of three pages, two of them in the preview; ``children``: how many need a photo."""
    ids = ["hero", "sister", "brother"][:children]
    characters: list[dict[str, Any]] = [
        *({"id": id_, "role": "hero" if id_ == "hero" else "sibling"} for id_ in ids),
        {"id": "dog", "role": "pet", "needs_photo": False},
    ]
    pages: list[dict[str, Any]] = [
        {
            "page_num": number,
            "base": f"{number}.png",
            "characters": [{"id": "hero"}] if number == 1 else [],
            "availability": {"preview": number < 3},
        }
        for number in (1, 2, 3)
    ]
    return BookManifest.model_validate(
        {
            "slug": "a-walk",
            "title": {"en": "A walk"},
            "languages": ["en"],
            "characters": characters,
            "reference": {"base": "reference.png", "characters": [{"id": "hero"}]},
            "covers": {"front": {"base": "front.png"}, "back": {"base": "back.png"}},
            "pages": pages,
        }
    )
