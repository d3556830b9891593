"""Words of a text that no tag expresses, so that they can be reported."""

from collections.abc import Iterable, Iterator

from imagemill.products.characters.prompts.lexicon import Concept
from imagemill.products.characters.prompts.parser import SINGULAR, NounPhrase, ParsedText, noun_tags


def lost_positions(
    found: ParsedText, tags: Iterable[str], silent: Iterable[str] = ("person", "age", "youth")
) -> set[int]:
    """Return the positions of the units with a visual meaning that none of ``tags`` expresses.

    Kinds in ``silent`` are not lost: they show in the gender, in the age or, as to youth, never.
    """
    shown = tuple(tags)
    used = {order for tag, order in found.body if _is_shown(tag, shown)}
    for item in found.items:
        if isinstance(item, NounPhrase):
            used.update(_used_positions(item, shown))
            continue
        concept, order = item
        texts = (f"{concept.name} ears",) if concept.kind == "animal" else concept.tags
        if not texts or any(_is_shown(text, shown) for text in texts):
            used.add(order)
    return {
        order
        for order in found.visual - used
        if not any(entry.concept.kind in silent for entry in found.units[order].entries)
    }


def _used_positions(head: NounPhrase, shown: tuple[str, ...]) -> Iterator[int]:
    """Yield the positions of a noun, its place and its modifiers that a tag shows or that need none."""
    tags = [tag for tag in noun_tags(head) if _is_shown(tag, shown)]
    needs_none = head.negated or head.silent or head.concept is None
    if tags or needs_none or not (head.modifiers or any(noun_tags(head))):
        yield head.rank
    place = SINGULAR.get(head.place, head.place)
    if needs_none or (tags and head.slot == "garment") or any(place in tag for tag in tags):
        yield head.place_position
    for modifier, position in zip(head.modifiers, head.positions, strict=True):
        if head.negated or _is_used(head, modifier, tags, shown):
            yield position


def _is_used(head: NounPhrase, modifier: Concept, tags: list[str], shown: tuple[str, ...]) -> bool:
    text = head.reads(modifier)
    if text is None or text == "-":
        return text == "-"
    if text.endswith("!"):
        return _is_shown(text[:-1].lstrip("-"), shown)
    # A shade is merged into its colour, and two colours of the eyes into one.
    merged = modifier.kind == "shade" or head.kind == "eyes"
    return any(merged or text in tag for tag in tags)


def _is_shown(tag: str, shown: tuple[str, ...]) -> bool:
    return any(other == tag or other.endswith(f" {tag}") for other in shown)
