"""``imagemill operations`` and ``imagemill jobs bulk``: one action on all jobs that match a filter."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command, quote_segment
from imagemill.cli.jobs import AllOwners, JobId, OwnerName, choose_owner, whole_id
from imagemill.cli.output import UNUSABLE, CliError, Printer, make_table

commands = typer.Typer(
    help="Operations on many jobs, in the background: list, show, cancel.", no_args_is_help=True
)
OperationId = Annotated[str, typer.Argument(help="The operation's id.", metavar="OPERATION")]
_POLL_S = 0.5


@client_command
def bulk(
    client: Client,
    out: Printer,
    action: Annotated[str, typer.Argument(help="cancel, replay, delete or priority.", metavar="ACTION")],
    status: Annotated[list[str] | None, typer.Option("--status", "-s", help="Jobs in this status.")] = None,
    recipe: Annotated[list[str] | None, typer.Option(help="Jobs of this recipe.")] = None,
    node: Annotated[list[str] | None, typer.Option(help="Jobs whose latest attempt is on this node.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Jobs with this checkpoint; * for any text.")
    ] = None,
    error: Annotated[list[str] | None, typer.Option(help="Jobs that failed with this error code.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Jobs that ask for this label.")] = None,
    batch: Annotated[list[str] | None, typer.Option(help="The jobs of this submission.")] = None,
    job: Annotated[list[str] | None, typer.Option(help="This job, by its whole id.")] = None,
    text: Annotated[str | None, typer.Option(help="Jobs with this text in their input.")] = None,
    older_than: Annotated[str | None, typer.Option(help="Submitted before, such as 2h or a date.")] = None,
    newer_than: Annotated[str | None, typer.Option(help="Submitted since, such as 2h or a date.")] = None,
    priority: Annotated[int | None, typer.Option(help="The new priority, for the action priority.")] = None,
    to_model: Annotated[str | None, typer.Option(help="Replay with this model instead.")] = None,
    to_label: Annotated[
        list[str] | None, typer.Option(help="Replay on nodes with this label instead.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Replay with another value, such as width=768.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the jobs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended.")] = False,
    owner: OwnerName = None,
    every_owner: AllOwners = False,
) -> Reply | None:
    """Cancel, replay, delete or reprioritize all jobs that match, in the background."""
    wanted: dict[str, Any] = {
        "status": status,
        "recipe": recipe,
        "node": node,
        "model": model,
        "error": error,
        "label": label,
        "batch": batch,
        "id": job,
        "text": text,
        "olderThan": older_than,
        "newerThan": newer_than,
    }
    body: dict[str, Any] = {
        "action": action,
        "filter": {name: value for name, value in wanted.items() if value},
    }
    if priority is not None:
        body["priority"] = priority
    if override := _override(to_model, to_label, set_):
        body["override"] = override
    whose = choose_owner(owner, every_owner)
    counted = client.post("/api/v1/jobs/bulk", {**body, "dryRun": True}, **whose)
    if dry_run:
        return counted, _describe_counts(action, counted)
    if not yes:
        _ask(out, action, counted)
    operation = client.post("/api/v1/jobs/bulk", body, **whose)
    if wait:
        operation = _wait(client, operation, whose)
    return operation, _describe(operation)


def _override(
    model: str | None, labels: Sequence[str] | None, values: Sequence[str] | None
) -> Mapping[str, Any]:
    given: dict[str, Any] = {}
    if model:
        given["model"] = model
    if labels:
        given["labels"] = list(labels)
    if values:
        given["input"] = dict(map(_value, values))
    return given


def _value(text: str) -> tuple[str, Any]:
    """Return the name and the value of ``width=768``; a value that is not JSON is text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CliError(f"--set: {text!r} should be NAME=VALUE, such as width=768", UNUSABLE)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _ask(out: Printer, action: str, counted: Mapping[str, Any]) -> None:
    """Ask whether the action is meant. Raises `CliError` where nobody can answer, or the answer is no."""
    if out.as_json or not sys.stdin.isatty():
        raise CliError("add --yes to start it, or --dry-run to count only", UNUSABLE)
    if not typer.confirm(f"{_describe_counts(action, counted)}. Start?", default=False):
        raise CliError("nothing was changed")


def _wait(client: Client, operation: Mapping[str, Any], whose: Mapping[str, str]) -> Any:
    path = f"/api/v1/operations/{quote_segment(operation['id'])}"
    while not operation["finishedAt"]:
        time.sleep(_POLL_S)
        operation = client.get(path, **whose)
    return operation


@client_command
def priority(
    client: Client,
    job: JobId,
    number: Annotated[
        int, typer.Argument(min=-100, max=100, metavar="PRIORITY", help="A smaller one is more urgent.")
    ],
    owner: OwnerName = None,
    every_owner: AllOwners = False,
) -> Reply:
    """Change the priority of a job that waits."""
    whose = choose_owner(owner, every_owner)
    path = f"/api/v1/jobs/{quote_segment(whole_id(client, job, whose))}"
    body = client.call("PATCH", path, params=whose, json={"priority": number})
    return body, f"job {body['id']} has the priority {body['priority']}"


@commands.command("list")
@client_command
def list_(client: Client, owner: OwnerName = None, every_owner: AllOwners = False) -> Reply:
    """List operations, the newest first."""
    body = client.get("/api/v1/operations", **choose_owner(owner, every_owner))
    return body, _table(body["items"]) if body["items"] else "no operations yet"


@commands.command()
@client_command
def show(
    client: Client, operation: OperationId, owner: OwnerName = None, every_owner: AllOwners = False
) -> Reply:
    """Show how far an operation is, and why jobs failed."""
    path = f"/api/v1/operations/{quote_segment(operation)}"
    body = client.get(path, **choose_owner(owner, every_owner))
    problems = [f"  {each['job']}  {each['code']}: {each['message']}" for each in body["samples"]]
    return body, [_describe(body), *problems]


@commands.command()
@client_command
def cancel(
    client: Client, operation: OperationId, owner: OwnerName = None, every_owner: AllOwners = False
) -> Reply:
    """Cancel an operation; what it has done already stays."""
    path = f"/api/v1/operations/{quote_segment(operation)}"
    body = client.call("DELETE", path, params=choose_owner(owner, every_owner))
    return body, _describe(body)


def _describe_counts(action: str, counted: Mapping[str, Any]) -> str:
    others = "".join(f", {number} {reason}" for reason, number in counted["ineligible"].items())
    least = "" if counted["complete"] else "at least "
    return f"{action}: {least}{counted['eligible']} jobs{others}"


def _describe(operation: Mapping[str, Any]) -> str:
    counts = f"{operation['done']} of {operation['total']} done"
    counts += "".join(f", {operation[name]} {name}" for name in ("skipped", "failed") if operation[name])
    return f"operation {operation['id']} ({operation['action']}) is {operation['state']}: {counts}"


def _table(operations: Sequence[Mapping[str, Any]]) -> Any:
    table = make_table("OPERATION", "ACTION", "STATE", "TOTAL", "DONE", "SKIPPED", "FAILED", "BY")
    for each in operations:
        counts = (str(each[name]) for name in ("total", "done", "skipped", "failed"))
        table.add_row(each["id"], each["action"], each["state"], *counts, each["by"])
    return table
