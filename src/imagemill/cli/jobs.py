"""``imagemill jobs``: list, show, watch, cancel, replay."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli.output import TOKEN, Json, Printer, Token, Url

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
def list_(
    status: Annotated[
        list[str] | None, typer.Option("--status", "-s", help="Only these: queued, running, failed, ...")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Only this recipe.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="At most so many.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="`next` of the page before.")] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """List jobs, newest first."""
    from imagemill.cli.client import Client

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        query = {"status": status, "recipe": recipe, "limit": limit, "cursor": cursor}
        page = client.get("/api/v1/jobs", **{name: value for name, value in query.items() if value})
        if as_json:
            out.json(page)
        elif not page["items"]:
            out.say("no such jobs" if status or recipe else "no jobs yet; examples/ has bodies to submit")
        else:
            out.say(_table(page["items"]))
            if page["next"]:
                out.say(f"\nmore: imagemill jobs list --cursor {page['next']}")


@commands.command()
def show(job: JobId, as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """Show one job: its state, events, timeline and pictures."""
    from imagemill.cli.client import Client, segment
    from imagemill.cli.follow import described, show_timeline

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.get(f"/api/v1/jobs/{segment(job)}")
        events = client.get(f"/api/v1/jobs/{segment(job)}/events", stream="false")["items"]
        if as_json:
            out.json(body | {"events": events})
            return
        _show_facts(out, body)
        out.say("")
        for event in events:
            out.say(f"  {described(event)}")
        show_timeline(out, events)
        _show_end(out, body)


@commands.command()
def watch(job: JobId, as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """Follow a job until it ends. Exit status 0 when it succeeded, else 1."""
    from imagemill.cli.client import Client, segment
    from imagemill.cli.follow import TERMINAL, JobDisplay, follow, show_timeline

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        screen = JobDisplay(out, "rendering")
        last = screen.show(follow(client, job, on_break=screen.broke))
        if not as_json:
            show_timeline(out, screen.events)
            _show_end(out, client.get(f"/api/v1/jobs/{segment(job)}"))
    raise typer.Exit(TERMINAL[last.name])


@commands.command()
def cancel(job: JobId, as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """Cancel a job; a running one stops within a step."""
    _act(job, "cancel", as_json, url, token)


@commands.command()
def replay(job: JobId, as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """Submit a finished job again, as a new one that asks for exactly the same."""
    _act(job, "replay", as_json, url, token)


def _act(job: str, verb: str, as_json: bool, url: str | None, token: str) -> None:
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.post(f"/api/v1/jobs/{segment(job)}/{verb}")
        if as_json:
            out.json(body)
        elif verb == "replay":
            out.say(f"job {body['id']} is {body['status']}; follow it: imagemill jobs watch {body['id']}")
        elif body["status"] == "running":
            out.say(f"job {body['id']} is told to stop")
        else:
            out.say(f"job {body['id']} is {body['status']}")


def _table(jobs: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    whole = ("JOB", "STATUS", "CREATED", "TOOK")
    for name in ("JOB", "STATUS", "CREATED", "TOOK", "RECIPE", "TRIES", "NODE", "NAME"):
        table.add_column(name, no_wrap=True, min_width=len(name) if name in whole else None)
    for job in jobs:
        table.add_row(
            job["id"],
            _status(job),
            _local(job["createdAt"]),
            _took(job),
            job["recipe"],
            str(job["attempt"]),
            job["node"] or "",
            job["name"] or "",
        )
    return table


def _show_facts(out: Printer, job: dict[str, Any]) -> None:
    from rich.text import Text

    out.say(Text.assemble(("job ", "dim"), (job["id"], "bold"), "  ", _status(job)))
    facts = {
        "recipe": job["recipe"],
        "name": job["name"],
        "node": job["node"],
        "because": job["reason"],
        "waits": job.get("waits"),
        "retry": _local(job["retryAt"]) if job["retryAt"] else None,
        "created": _local(job["createdAt"]),
        "took": _took(job) or None,
        "trace": job["trace"],
    }
    for name, value in facts.items():
        if value:
            out.say(Text.assemble((f"  {name:<8}", "dim"), str(value)))


def _show_end(out: Printer, job: dict[str, Any]) -> None:
    """Its pictures, or why there are none and what to do."""
    from rich.text import Text

    out.say("")
    if error := job["error"]:
        out.say(Text.assemble((f"  {error['code']}: ", "red"), error["message"]))
        if error.get("advice"):
            out.say(f"  {error['advice']}")
    elif job["status"] != "succeeded" and job["finishedAt"]:
        out.say(Text.assemble("  the job is ", _status(job)))
    for picture in job["artifacts"]:
        size = f"{picture['width']} x {picture['height']}"
        out.say(Text.assemble((f"  {size}, seed {picture['seed']}  ", "dim"), picture["url"]))


def _status(job: dict[str, Any]) -> "Text":
    from rich.text import Text

    return Text(job["status"], style=_STYLES.get(job["status"], ""))


def _local(moment: str) -> str:
    """The time of today, the date of other days."""
    then = datetime.fromisoformat(moment).astimezone()
    is_today = then.date() == datetime.now().astimezone().date()
    return f"{then:%H:%M:%S}" if is_today else f"{then:%Y-%m-%d %H:%M}"


def _took(job: dict[str, Any]) -> str:
    """From the first claim to the end."""
    if not job["startedAt"] or not job["finishedAt"]:
        return ""
    gap = datetime.fromisoformat(job["finishedAt"]) - datetime.fromisoformat(job["startedAt"])
    return f"{gap.total_seconds():.2f} s"
