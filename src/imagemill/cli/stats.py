"""``imagemill stats``: time series of a server's own counters."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command
from imagemill.cli.output import make_table

_BARS = "▁▂▃▄▅▆▇█"
_DEFAULT = "submitted,finished,failed,failure_rate,waiting_p95,running_p95,stage_p95,queue_age,node_busy"
_UNITS = {"seconds": " s", "share": "", "jobs": "", "loads": "", "deliveries": ""}


@client_command
def stats(
    client: Client,
    series: Annotated[
        str, typer.Option("--series", help="Names of series, separated by commas; --help of the API has all.")
    ] = _DEFAULT,
    hours: Annotated[float, typer.Option(min=0.1, max=2160, help="The time until now, in hours.")] = 1.0,
    step: Annotated[
        int | None, typer.Option(min=60, max=86_400, help="Seconds of a step. Default: by the time shown.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="One series for each recipe, model, node, error or owner.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Jobs of this owner; for administrators.")] = None,
    every_owner: Annotated[bool, typer.Option("--all", help="Jobs of all owners.")] = False,
) -> Reply:
    """Show counters of jobs, waiting times, nodes and webhooks of the last hours."""
    start = datetime.now(UTC) - timedelta(hours=hours)
    query: dict[str, Any] = {"series": series, "from": start.isoformat(), "step": step, "by": by}
    query["owner"] = "*" if every_owner else owner
    body = client.get("/api/v1/stats", **{name: value for name, value in query.items() if value})
    if body["countedTo"] is None:
        return body, "no minute is counted yet; the first is 15 s after its end"
    return body, _table(body["items"])


def _table(items: list[dict[str, Any]]) -> Any:
    table = make_table("SERIES", "OF", "LAST", "MOST", "COURSE")
    for item in items:
        measured = [value for value in item["values"] if value is not None]
        last, most = (measured[-1], max(measured)) if measured else (None, None)
        unit = item["unit"]
        table.add_row(
            item["series"], item["key"], _shown(last, unit), _shown(most, unit), _course(item["values"])
        )
    return table


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:.0%}" if unit == "share" else f"{value:g}{_UNITS[unit]}"


def _course(values: list[float | None], width: int = 40) -> str:
    """Return the values as bars of text; each bar is the largest of its steps."""
    size = -(-len(values) // width)
    groups = [values[start : start + size] for start in range(0, len(values), size)]
    peaks = [max((each for each in group if each is not None), default=None) for group in groups]
    most = max((peak for peak in peaks if peak is not None), default=0.0)
    return "".join(_bar(peak, most) for peak in peaks)


def _bar(peak: float | None, most: float) -> str:
    if peak is None:
        return " "
    return _BARS[round((len(_BARS) - 1) * peak / most)] if most else _BARS[0]
