"""What a job's time went into: the wait, then every stage of the attempt that ended it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

_BAR = 30
"""Characters of the longest bar."""
_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class Span:
    name: str
    ms: float


def spans(events: Iterable[Mapping[str, Any]]) -> list[Span]:
    """Of the durable events of a job, in order. Empty for a job that was never claimed."""
    claims = [event for event in events if event["type"] == "Claimed"]
    ordered = list(events)
    if not claims or not ordered:
        return []
    found = [Span("QUEUED", _between(ordered[0], claims[0]))]
    if len(claims) > 1:
        found.append(Span(f"{len(claims) - 1} earlier", _between(claims[0], claims[-1])))
    stages: list[Mapping[str, Any]] = ordered[-1]["data"].get("stages") or []
    return found + [Span(stage["stage"], float(stage["ms"])) for stage in stages]


def table(found: list[Span]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    longest = max((span.ms for span in found), default=0.0)
    total = sum(span.ms for span in found)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    for span in found:
        name = (
            span.name if span.name.isupper() else f"{span.name} attempt{'s' if span.name[0] != '1' else ''}"
        )
        grid.add_row(f"  {name}", shown_ms(span.ms), Text(_bar(span.ms, longest), style="cyan"))
    grid.add_row(Text("  total", style="bold"), Text(shown_ms(total), style="bold"), "")
    return grid


def shown_ms(ms: float) -> str:
    """Three figures are enough: ``0.42 ms``, ``12.5 ms``, ``1 204 ms``."""
    if ms < 10:
        return f"{ms:.2f} ms"
    return f"{ms:.1f} ms" if ms < 100 else f"{ms:,.0f} ms".replace(",", " ")


def _bar(ms: float, longest: float) -> str:
    eighths = round(ms / longest * _BAR * 8) if longest > 0 else 0
    whole, rest = divmod(max(1, eighths), 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def _between(first: Mapping[str, Any], second: Mapping[str, Any]) -> float:
    gap = datetime.fromisoformat(second["at"]) - datetime.fromisoformat(first["at"])
    return max(0.0, gap.total_seconds() * 1000)
