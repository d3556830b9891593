"""``imagemill jobs``: submit, list, show, watch, cancel, replay."""

import json
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command, quote_segment
from imagemill.cli.feed_display import show_feed
from imagemill.cli.follow import (
    EXIT_STATUS,
    JobDisplay,
    describe_event,
    describe_status,
    follow,
    timeline,
)
from imagemill.cli.output import UNUSABLE, CliError, Printer, make_table
from imagemill.cli.saved_files import save_files

if TYPE_CHECKING:
    from rich.text import Text

commands = typer.Typer(
    help="The jobs of a server: submit, list, show, watch, cancel, replay, bulk, priority.",
    no_args_is_help=True,
)

JobId = Annotated[
    str,
    typer.Argument(
        help="The job's id, or its first or last characters if they are of one job.", metavar="JOB"
    ),
]
OwnerName = Annotated[
    str | None, typer.Option("--owner", help="Jobs of this owner; for administrators. Default: your own.")
]
AllOwners = Annotated[bool, typer.Option("--all", help="Jobs of all owners; for administrators.")]
OlderThan = Annotated[str | None, typer.Option(help="Submitted before, such as 2h or a date.")]
NewerThan = Annotated[str | None, typer.Option(help="Submitted since, such as 2h or a date.")]
Save = Annotated[
    Path | None, typer.Option("--save", metavar="DIR", help="Wait, and save the files to this folder.")
]
_ID_CHARS = 36
_SEARCHED = 500
"""The newest jobs, among which a shortened id is looked for."""
_SIMULATED = re.compile(r"(sim-\d+)\..+")
"""A simulated node's name with the suffix of its process, which tells a reader nothing."""
_LONGEST_PROMPT = 40

_STYLES = {
    "succeeded": "green",
    "failed": "red",
    "running": "cyan",
    "canceled": "yellow",
    "expired": "yellow",
}


_NO_JOBS = 'no jobs yet; make one: imagemill make "a fox in the snow"'


@commands.command()
@client_command
def submit(
    client: Client,
    out: Printer,
    file: Annotated[
        str,
        typer.Argument(
            help="JSON file of a job, - for standard input: a body of /api/v1/jobs, or one of Civitai's API.",
            metavar="FILE",
        ),
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the jobs have ended.")] = False,
    save: Save = None,
) -> None:
    """Submit the job in a file. With --wait or --save the exit status is 0 if it succeeded, else 1."""
    body = _read_body(file)
    if "recipe" in body:
        ids = [client.post("/api/v1/jobs", body)["id"]]
    else:
        ids = [job["jobId"] for job in client.post("/v1/consumer/jobs", body)["jobs"]]
    waits = wait or save is not None
    if not out.as_json:
        for id_ in ids:
            out.say(f"job {id_} is queued" + ("" if waits else f"; follow it: imagemill jobs watch {id_}"))
    statuses = [_follow(out, client, id_) for id_ in ids] if waits else [0]
    jobs = [client.get(f"/api/v1/jobs/{quote_segment(id_)}") for id_ in ids]
    files = [path for job in jobs for path in save_files(client, job, save)] if save else []
    if out.as_json:
        out.json({"items": jobs, "files": files})
    for path in files:
        out.say(f"  {path}")
    raise typer.Exit(max(statuses))


def _read_body(file: str) -> dict[str, Any]:
    """Return the object in a JSON file. Raises `CliError`."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
        body = json.loads(text)
    except OSError as error:
        raise CliError(f"{file} cannot be read: {error.strerror}", UNUSABLE) from error
    except ValueError as error:
        raise CliError(
            f"{'standard input' if file == '-' else file} is not JSON: {error}", UNUSABLE
        ) from error
    if not isinstance(body, dict):
        raise CliError(
            f'{file} holds no JSON object; a job looks like {{"recipe": "textToImage", ...}}', UNUSABLE
        )
    return body


def _follow(out: Printer, client: Client, job_id: str) -> int:
    """Show a job's progress until it ends; return the exit status."""
    quiet = Printer(True) if out.as_json else out
    display = JobDisplay(quiet, "rendering", show_events=False)
    return EXIT_STATUS[display.show(follow(client, job_id, on_break=display.report_break)).name]


def choose_owner(owner: str | None, every_owner: bool) -> dict[str, str]:
    """Return the query for the jobs of an owner; ``*`` means all. Raises `CliError`."""
    if owner and every_owner:
        raise CliError("give either --owner or --all", UNUSABLE)
    name = "*" if every_owner else owner
    return {"owner": name} if name else {}


def whole_id(client: Client, job: str, whose: Mapping[str, str]) -> str:
    """Return the id that ``job`` shortens. Raises `CliError` where it is of no job or of several."""
    if len(job) >= _ID_CHARS:
        return job
    page = client.get("/api/v1/jobs", limit=_SEARCHED, **whose)["items"]
    found = [each["id"] for each in page if each["id"].startswith(job) or each["id"].endswith(job)]
    if len(found) == 1:
        return found[0]
    if found:
        raise CliError(f"{job} shortens the ids of {len(found)} jobs", details=tuple(found[:10]))
    raise CliError(f"no job among the newest {_SEARCHED} has an id that begins or ends with {job!r}")


@commands.command("list")
@client_command
def list_(
    client: Client,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", "-s", help="Only jobs in this status: queued, running, failed, ..."),
    ] = None,
    recipe: Annotated[list[str] | None, typer.Option(help="Only jobs of this recipe.")] = None,
    node: Annotated[list[str] | None, typer.Option(help="Only jobs whose latest attempt is on it.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Only jobs with this checkpoint; * for any text.")
    ] = None,
    error: Annotated[list[str] | None, typer.Option(help="Only jobs that failed with this code.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Only jobs that ask for this label.")] = None,
    batch: Annotated[list[str] | None, typer.Option(help="Only the jobs of this submission.")] = None,
    text: Annotated[str | None, typer.Option(help="Only jobs with this text in their input.")] = None,
    character: Annotated[str | None, typer.Option(help="Only jobs of this character.")] = None,
    book: Annotated[str | None, typer.Option(help="Only jobs of this personalization.")] = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=500, help="The largest number of jobs to list.")
    ] = 20,
    cursor: Annotated[
        str | None, typer.Option(help="Continue a list: the value `next` of the page before.")
    ] = None,
    owner: OwnerName = None,
    every_owner: AllOwners = False,
) -> Reply:
    """List jobs, newest first."""
    wanted: dict[str, Any] = {
        "status": status, "recipe": recipe, "node": node, "model": model, "error": error, "label": label,
        "batch": batch, "text": text, "character": character, "book": book, "olderThan": older_than,
        "newerThan": newer_than,
    }  # fmt: skip
    query = {**wanted, "limit": limit, "cursor": cursor, **choose_owner(owner, every_owner)}
    page = client.get("/api/v1/jobs", **{name: value for name, value in query.items() if value})
    if not page["items"] and not page["next"]:
        return page, "no such jobs" if any(wanted.values()) else _NO_JOBS
    if not page["items"]:
        searched = f"none until {_format_time(page['searchedTo'])}"
        return page, f"{searched}; search on: imagemill jobs list --cursor {page['next']}"
    more = [f"\nmore: imagemill jobs list --cursor {page['next']}"] if page["next"] else []
    return page, [_table(page["items"]), *more]


@commands.command()
@client_command
def counts(
    client: Client,
    by: Annotated[str, typer.Option(help="status, owner, recipe, model, node or error.")] = "status",
    status: Annotated[list[str] | None, typer.Option("--status", "-s", help="Only this status.")] = None,
    recipe: Annotated[list[str] | None, typer.Option(help="Only jobs of this recipe.")] = None,
    node: Annotated[list[str] | None, typer.Option(help="Only jobs whose latest attempt is on it.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Only jobs with this checkpoint; * for any text.")
    ] = None,
    error: Annotated[list[str] | None, typer.Option(help="Only jobs that failed with this code.")] = None,
    text: Annotated[str | None, typer.Option(help="Only jobs with this text in their input.")] = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    owner: OwnerName = None,
    every_owner: AllOwners = False,
) -> Reply:
    """Count jobs by group, the largest group first."""
    query = {
        "by": by, "status": status, "recipe": recipe, "node": node, "model": model, "error": error,
        "text": text, "olderThan": older_than, "newerThan": newer_than,
        **choose_owner(owner, every_owner),
    }  # fmt: skip
    body = client.get("/api/v1/jobs/counts", **{name: value for name, value in query.items() if value})
    if not body["items"]:
        return body, "no such jobs"
    table = make_table("JOBS", by.upper(), *(["MODEL"] if by == "error" else []))
    for item in body["items"]:
        table.add_row(
            str(item["count"]), item["key"] or "-", *([item["model"] or "-"] if by == "error" else [])
        )
    return body, [table, *([] if body["complete"] else ["there are more: counting all takes too long"])]


@commands.command()
@client_command
def show(client: Client, job: JobId, owner: OwnerName = None, every_owner: AllOwners = False) -> Reply:
    """Show one job: its status, prompt, events, timeline and pictures."""
    whose = choose_owner(owner, every_owner)
    path = f"/api/v1/jobs/{quote_segment(whole_id(client, job, whose))}"
    body = client.get(path, **whose)
    events = client.get(f"{path}/events", stream="false", **whose)["items"]
    lines = [f"  {describe_event(event)}" for event in events]
    return body | {"events": events}, [*_facts(body), "", *lines, *timeline(events), *_result(body)]


@commands.command()
@client_command
def watch(
    client: Client,
    out: Printer,
    job: Annotated[
        str | None, typer.Argument(help="The job's id, or a part of it; without it, all jobs.", metavar="JOB")
    ] = None,
    owner: OwnerName = None,
    every_owner: AllOwners = False,
) -> None:
    """Follow a job until it ends, or all jobs. The exit status is 0 if the job succeeded, else 1."""
    if job is None:
        show_feed(client, out, choose_owner(owner, every_owner))
        return
    if owner or every_owner:
        raise CliError("--owner and --all are for watching all jobs; leave out the job", UNUSABLE)
    job = whole_id(client, job, {})
    display = JobDisplay(out, "rendering")
    last = display.show(follow(client, job, on_break=display.report_break))
    if not out.as_json:
        for part in [*timeline(display.events), *_result(client.get(f"/api/v1/jobs/{quote_segment(job)}"))]:
            out.say(part)
    raise typer.Exit(EXIT_STATUS[last.name])


@commands.command()
@client_command
def cancel(client: Client, job: JobId, owner: OwnerName = None, every_owner: AllOwners = False) -> Reply:
    """Cancel a job; a running one stops within a step. Exit status 1 for a job that has ended."""
    whose = choose_owner(owner, every_owner)
    job = whole_id(client, job, whose)
    before = client.get(f"/api/v1/jobs/{quote_segment(job)}", **whose)
    if before["finishedAt"]:
        message = f"job {job} {describe_status(before['status'])} already; it cannot be canceled"
        raise CliError(message, body=before)
    body = client.post(f"/api/v1/jobs/{quote_segment(job)}/cancel", **whose)
    if body["status"] == "running":
        return body, f"job {body['id']} is being canceled"
    return body, f"job {body['id']} {describe_status(body['status'])}"


@commands.command()
@client_command
def replay(client: Client, job: JobId, owner: OwnerName = None, every_owner: AllOwners = False) -> Reply:
    """Submit a finished job again, as a new job with the same input."""
    whose = choose_owner(owner, every_owner)
    job = whole_id(client, job, whose)
    body = client.post(f"/api/v1/jobs/{quote_segment(job)}/replay", **whose)
    status = describe_status(body["status"])
    return body, f"job {body['id']} {status}; follow it: imagemill jobs watch {body['id']}"


def _table(jobs: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    owners = {job.get("owner") for job in jobs}
    names = ["JOB", "STATUS", _created_header(), "TOOK", "RECIPE", "ATTEMPT", "NODE", "PROMPT"]
    for name in [*names, *(["OWNER"] if len(owners) > 1 else [])]:
        is_cut = name in ("RECIPE", "ATTEMPT", "NODE", "PROMPT", "OWNER")
        table.add_column(name, no_wrap=True, min_width=None if is_cut else len(name))
    for job in jobs:
        cells = [
            job["id"],
            _styled_status(job),
            _format_time(job["createdAt"]),
            _format_duration(job),
            job["recipe"],
            str(job["attempt"]),
            _node(job["node"]),
            _short_prompt(job) or job["name"] or "",
        ]
        table.add_row(*cells, *([job["owner"]] if len(owners) > 1 else []))
    return table


def _created_header() -> str:
    """Return the head of the column of times, with their zone."""
    return f"CREATED ({datetime.now().astimezone():%Z})"


def _node(name: str | None) -> str:
    return _SIMULATED.sub(r"\1", name or "")


def _prompt(job: dict[str, Any]) -> str:
    """Return the prompt of a job whose recipe has one, in one line."""
    values = job["input"].get("values")
    given = values if isinstance(values, dict) else job["input"]
    prompt: Any = given.get("prompt")
    return " ".join(prompt.split()) if isinstance(prompt, str) else ""


def _short_prompt(job: dict[str, Any]) -> str:
    prompt = _prompt(job)
    return prompt if len(prompt) <= _LONGEST_PROMPT else f"{prompt[: _LONGEST_PROMPT - 1]}…"


def _facts(job: dict[str, Any]) -> "list[Text]":
    from rich.text import Text

    given = job["input"]
    size = f"{given['width']} x {given['height']}" if {"width", "height"} <= given.keys() else None
    facts = {
        "prompt": _prompt(job),
        "model": given.get("model_path") or given.get("model") or given.get("checkpoint"),
        "size": size,
        "steps": given.get("steps"),
        "seed": given.get("seed"),
        "recipe": job["recipe"],
        "name": job["name"],
        "owner": job.get("owner"),
        "node": _node(job["node"]),
        "reason": job["reason"],
        "waiting": job.get("waits"),
        "retry": _format_time(job["retryAt"]) if job["retryAt"] else None,
        "created": f"{_format_time(job['createdAt'])} {datetime.now().astimezone():%Z}",
        "took": _format_duration(job) or None,
        "trace": job["trace"],
    }
    return [
        Text.assemble(("job ", "dim"), (job["id"], "bold"), "  ", _styled_status(job)),
        *(
            Text.assemble((f"  {name:<8}", "dim"), str(value))
            for name, value in facts.items()
            if value is not None and value != ""
        ),
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
    """Return date and time of this machine's zone."""
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"


def _format_duration(job: dict[str, Any]) -> str:
    """Return the seconds from the first claim to the end, empty for a job that has not ended."""
    if not job["startedAt"] or not job["finishedAt"]:
        return ""
    duration = datetime.fromisoformat(job["finishedAt"]) - datetime.fromisoformat(job["startedAt"])
    return f"{duration.total_seconds():.2f} s"
