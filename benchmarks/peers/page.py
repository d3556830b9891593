"""The tables of the measured peers as Markdown."""

from collections.abc import Sequence

from benchmarks.peers import turns
from benchmarks.peers.turns import Standing

HEAD = "| | jobs a second | ratio | p50 | p99 | CPU a job | memory |\n|---|---:|---:|---:|---:|---:|---:|"
COMPARED_WITH = "Fastify"
"""The peer whose rate the ratios are to; where it did not run, the first one that did."""


def tables(standings: Sequence[Standing]) -> str:
    """Return the table of the peers in their best layout, then that of all layouts."""
    found = turns.best(list(standings))
    base = _base(found)
    parts = [_table([(each.peer.title, each) for each in found], base)]
    parts.append(_table([(f"{each.peer.title}: {each.layout}", each) for each in standings], base))
    return "\n\n".join(parts)


def _table(rows: Sequence[tuple[str, Standing]], base: Standing | None) -> str:
    return "\n".join([HEAD, *(_row(name, standing, base) for name, standing in rows)])


def _row(name: str, standing: Standing, base: Standing | None) -> str:
    if not standing.turns or base is None:
        return f"| {name} | not measured: {standing.reason} | | | | | |"
    return (
        f"| {name} | {standing.per_second:,.0f} | {standing.ratio_to(base):.2f} | {standing.p50_ms:.1f} ms "
        f"| {standing.p99_ms:.1f} ms | {standing.cpu_ms:.2f} ms | {standing.memory_mb:.0f} MB |"
    )


def _base(standings: Sequence[Standing]) -> Standing | None:
    ran = [each for each in standings if each.turns]
    return next((each for each in ran if each.peer.title.startswith(COMPARED_WITH)), ran[0] if ran else None)
