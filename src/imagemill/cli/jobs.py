"""``imagemill jobs``: list, show, watch, cancel, replay."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command, quote_segment
from imagemill.cli.follow import (
    EXIT_STATUS,
    JobDisplay,
    describe_event,
    describe_status,
    follow,
    timeline,
)
from imagemill.cli.output import Printer

if TYPE_CHECKING:
    from rich.text import Text

commands = typer.Typer(help="The jobs of a server: list, show, watch, cancel, replay.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="The job's id.", metavar="JOB")]

_STYLES = {
    "succeeded": "green",
    "failed": "red",
    "running": "cyan",
    "canceled": "yellow",
    "expired": "yellow",
}


@commands.command("list")
@client_command
def list_(
    client: Client,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", "-s", help="Only jobs in this status: queued, running, failed, ..."),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Only jobs of this recipe.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=500, help="The largest number of jobs to list.")
    ] = 20,
    cursor: Annotated[
        str | None, typer.Option(help="Continue a list: the value `next` of the page before.")
    ] = None,
) -> Reply:
    """List jobs, newest first."""
    query = {"status": status, "recipe": recipe, "limit": limit, "cursor": cursor}
    page = client.get("/api/v1/jobs", **{name: value for name, value in query.items() if value})
    if not page["items"]:
        return page, "no such jobs" if status or recipe else "no jobs yet; examples/ has bodies to submit"
    more = [f"\nmore: imagemill jobs list --cursor {page['next']}"] if page["next"] else []
    return page, [_table(page["items"]), *more]


@commands.command()
@client_command
def show(client: Client, job: JobId) -> Reply:
    """Show one job: its status, events, timeline and pictures."""
    body = client.get(f"/api/v1/jobs/{quote_segment(job)}")
    events = client.get(f"/api/v1/jobs/{quote_segment(job)}/events", stream="false")["items"]
    lines = [f"  {describe_event(event)}" for event in events]
    return body | {"events": events}, [*_facts(body), "", *lines, *timeline(events), *_result(body)]


@commands.command()
@client_command
def watch(client: Client, out: Printer, job: JobId) -> None:
    """Follow a job until it ends. The exit status is 0 if it succeeded, else 1."""
    display = JobDisplay(out, "rendering")
    last = display.show(follow(client, job, on_break=display.report_break))
    if not out.as_json:
        for part in [*timeline(display.events), *_result(client.get(f"/api/v1/jobs/{quote_segment(job)}"))]:
            out.say(part)
    raise typer.Exit(EXIT_STATUS[last.name])


@commands.command()
@client_command
def cancel(client: Client, job: JobId) -> Reply:
    """Cancel a job; a running one stops within a step."""
    body = client.post(f"/api/v1/jobs/{quote_segment(job)}/cancel")
    if body["status"] == "running":
        return body, f"job {body['id']} is being canceled"
    return body, f"job {body['id']} {describe_status(body['status'])}"


@commands.command()
@client_command
def replay(client: Client, job: JobId) -> Reply:
    """Submit a finished job again, as a new job with the same input."""
    body = client.post(f"/api/v1/jobs/{quote_segment(job)}/replay")
    status = describe_status(body["status"])
    return body, f"job {body['id']} {status}; follow it: imagemill jobs watch {body['id']}"


def _table(jobs: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    never_cut = ("JOB", "STATUS", "CREATED", "TOOK")
    for name in ("JOB", "STATUS", "CREATED", "TOOK", "RECIPE", "ATTEMPT", "NODE", "NAME"):
        table.add_column(name, no_wrap=True, min_width=len(name) if name in never_cut else None)
    for job in jobs:
        table.add_row(
            job["id"],
            _styled_status(job),
            _format_time(job["createdAt"]),
            _format_duration(job),
            job["recipe"],
            str(job["attempt"]),
            job["node"] or "",
            job["name"] or "",
        )
    return table


def _facts(job: dict[str, Any]) -> "list[Text]":
    from rich.text import Text

    facts = {
        "recipe": job["recipe"],
        "name": job["name"],
        "node": job["node"],
        "reason": job["reason"],
        "waiting": job.get("waits"),
        "retry": _format_time(job["retryAt"]) if job["retryAt"] else None,
        "created": _format_time(job["createdAt"]),
        "took": _format_duration(job) or None,
        "trace": job["trace"],
    }
    return [
        Text.assemble(("job ", "dim"), (job["id"], "bold"), "  ", _styled_status(job)),
        *(Text.assemble((f"  {name:<8}", "dim"), str(value)) for name, value in facts.items() if value),
    ]


def _result(job: dict[str, Any]) -> list[Any]:
    """Return the job's pictures, or its error and what to do about it, as lines."""
    from rich.text import Text

    parts: list[Any] = [""]
    if error := job["error"]:
        parts.append(Text.assemble((f"  {error['code']}: ", "red"), error["message"]))
        if error.get("advice"):
            parts.append(f"  {error['advice']}")
    elif job["status"] != "succeeded" and job["finishedAt"]:
        parts.append(f"  the job {describe_status(job['status'])}")
    for picture in job["artifacts"]:
        size = f"{picture['width']} x {picture['height']}"
        parts.append(Text.assemble((f"  {size}, seed {picture['seed']}  ", "dim"), picture["url"]))
    return parts


def _styled_status(job: dict[str, Any]) -> "Text":
    from rich.text import Text

    return Text(job["status"], style=_STYLES.get(job["status"], ""))


def _format_time(text: str) -> str:
    """Return the local time of day for today, date and time for other days."""
    moment = datetime.fromisoformat(text).astimezone()
    is_today = moment.date() == datetime.now().astimezone().date()
    return f"{moment:%H:%M:%S}" if is_today else f"{moment:%Y-%m-%d %H:%M}"


def _format_duration(job: dict[str, Any]) -> str:
    """Return the seconds from the first claim to the end, empty for a job that has not ended."""
    if not job["startedAt"] or not job["finishedAt"]:
        return ""
    duration = datetime.fromisoformat(job["finishedAt"]) - datetime.fromisoformat(job["startedAt"])
    return f"{duration.total_seconds():.2f} s"
