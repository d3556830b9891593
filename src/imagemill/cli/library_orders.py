"""Orders of the model library: shown, and followed to their end."""

import time
from typing import Any

import typer

from imagemill.cli.client import ApiError, Client, ServerUnreachable, segment
from imagemill.cli.output import REFUSED, CliError, Printer

_LOOK_S = 0.5
_ENDS = ("succeeded", "failed", "canceled", "expired")
_GIVE_UP_S = 60.0
"""A server away for so long is not waited for any longer."""


def show_quote(out: Printer, told: dict[str, Any]) -> None:
    """A dry run: every prompt, what is there, the count and the price."""
    from rich.text import Text

    if out.as_json:
        out.json(told)
        return
    styles = {"new": "green", "present": "dim", "under_way": "cyan", "missing": "yellow"}
    for cell in told["cells"]:
        state = Text(f"{cell['state'].replace('_', ' '):<10}", styles[cell["state"]])
        out.say(Text.assemble(state, cell["prompt"]))
    free = "" if told["charged"] else "; jobs are free here"
    out.say(f"\n{_counts(told)}")
    out.say(f"price: {told['cost']:g} credits{free}. Nothing was sent.")


def show_order(out: Printer, told: dict[str, Any]) -> None:
    if out.as_json:
        out.json(told)
    else:
        out.say(_counts(told))


def _counts(told: dict[str, Any]) -> str:
    parts = [f"{told['new']} to make", f"{told['present']} present"]
    if told["underWay"]:
        parts.append(f"{told['underWay']} under way")
    if told["missing"]:
        parts.append(f"{told['missing']} left out")
    return ", ".join(parts)


def follow_one(out: Printer, client: Client, told: dict[str, Any]) -> None:
    """To the end of its job; then its pictures. Exit status 1 unless it succeeded."""
    from imagemill.cli.follow import TERMINAL, follow

    last = None
    for message in follow(client, told["jobId"]):
        last = message
    job = client.get(f"/api/v1/jobs/{segment(told['jobId'])}")
    if out.as_json:
        out.json({**told, "job": job})
    elif job["error"]:
        out.say(f"{told['templateId']}: {job['error']['message']}")
    else:
        out.say(f"{told['templateId']} is {job['status']}")
        for picture in job["artifacts"]:
            out.say(f"  {picture['width']} x {picture['height']}  {picture['url']}")
    raise typer.Exit(TERMINAL[last.name] if last is not None else REFUSED)


def follow_batches(out: Printer, client: Client, told: dict[str, Any]) -> None:
    """All batches that make the cells of an order, with a bar. Exit status 1 when a job did not succeed."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    batches: list[str] = told["batches"]
    # Those that others had begun hold cells that nobody asked for here, and former failures.
    wanted = {cell["jobId"] for cell in told["cells"] if cell["state"] in ("new", "under_way")}
    if not wanted:
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=out.console, disable=out.as_json) as bar:
        task = bar.add_task("", total=len(wanted))
        while True:
            seen = [_asked(client, batch) for batch in batches]
            states = {id_: state for each in seen for id_, state in each["jobs"].items() if id_ in wanted}
            ended = [state for state in states.values() if state in _ENDS]
            lost = len(ended) - ended.count("succeeded")
            bar.update(task, completed=len(ended), description=f"{lost} lost" if lost else "")
            if len(ended) == len(states):
                break
            time.sleep(_LOOK_S)
    failures = [each for told in seen for each in told["failures"] if each["jobId"] in wanted]
    if out.as_json:
        out.json({"jobs": states, "failures": failures})
    for failure in failures[:20]:
        out.say(f"{failure['name']}: {failure['error']['message']}")
    raise typer.Exit(REFUSED if lost else 0)


def _asked(client: Client, batch: str) -> dict[str, Any]:
    """How far it is; a server that is started again meanwhile is waited for."""
    end = time.monotonic() + _GIVE_UP_S
    while True:
        try:
            return client.get(f"/api/v1/models/batch/{segment(batch)}")
        except (ServerUnreachable, ApiError) as error:
            if time.monotonic() > end or (isinstance(error, ApiError) and error.status_code < 500):
                raise
        except CliError:
            if time.monotonic() > end:
                raise
        time.sleep(_LOOK_S)
