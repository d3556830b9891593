"""How many of the tags that character sheets should give the glossary finds, and how fast.

Sheets and tags were written before the glossary; it was improved on two thirds of the Portuguese ones. An
expected tag counts when it is there word for word, or one of the alternatives named with "|".
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagemill.products.characters.prompts.glossary import describe_appearance
from imagemill.products.characters.prompts.sanitize import is_foreign
from imagemill.products.characters.prompts.types import Appearance, CharacterSheet

_DATA = Path(__file__).parent / "data"
_ROUNDS = 5


@dataclass(frozen=True)
class Score:
    """``missed``: by the sheet's name; ``left``: words of another language than English."""

    expected: int
    found: int
    genders: float
    missed: dict[str, list[str]]
    left: list[str]

    @property
    def recall(self) -> float:
        return self.found / self.expected


def rows(language: str) -> list[dict[str, Any]]:
    """Of ``pt`` or ``es``: sheet, gender, tags, held_out."""
    return json.loads((_DATA / f"sheets_{language}.json").read_text("utf-8"))


def score(wanted: Sequence[dict[str, Any]]) -> Score:
    missed: dict[str, list[str]] = {}
    left: list[str] = []
    genders = 0
    for row in wanted:
        seen = describe_appearance(CharacterSheet(**row["sheet"]))
        absent = [tags for tags in row["tags"] if set(tags.split("|")).isdisjoint(seen.tags)]
        if absent:
            missed[row["sheet"]["name"]] = absent
        left.extend(foreign(seen))
        genders += seen.gender == row["gender"]
    expected = sum(len(row["tags"]) for row in wanted)
    lost = sum(map(len, missed.values()))
    return Score(expected, expected - lost, genders / len(wanted), missed, left)


def foreign(seen: Appearance) -> list[str]:
    words = [word for tag in seen.tags for word in tag.replace("-", " ").split()]
    return [word for word in words if not word.isascii() or is_foreign(word.strip("()"))]


def measure(root: Path) -> list[tuple[str, str, str]]:
    del root
    portuguese = rows("pt")
    sets = {
        "all 60 Portuguese sheets": portuguese,
        "the 40 it was improved on": [row for row in portuguese if not row["held_out"]],
        "the 20 held out": [row for row in portuguese if row["held_out"]],
        "15 Spanish sheets": rows("es"),
    }
    found: list[tuple[str, str, str]] = []
    for name, wanted in sets.items():
        scored = score(wanted)
        found.append((f"glossary: recall of {name}", f"{scored.recall:.3f}", "at least 0.8"))
        if scored.left or name.startswith("all"):
            found.append((f"glossary: foreign words left in {name}", str(len(scored.left)), "none"))
    found.append(("glossary: a sheet", f"{_sheet_ms(portuguese):.2f} ms", "below 5 ms"))
    return found


def _sheet_ms(wanted: Sequence[dict[str, Any]]) -> float:
    sheets = [CharacterSheet(**row["sheet"]) for row in wanted]
    begin = time.perf_counter()
    for _ in range(_ROUNDS):
        for sheet in sheets:
            describe_appearance(sheet)
    return (time.perf_counter() - begin) * 1000 / (_ROUNDS * len(sheets))


def main() -> None:
    for name, value, aim in measure(Path()):
        print(f"{name}: {value} ({aim})")


if __name__ == "__main__":
    main()
