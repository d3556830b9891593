"""``imagemill simulator``: the simulator's speed and faults, changed while a server runs."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command, quote_segment
from imagemill.cli.output import UNUSABLE, CliError, make_table

PATH = "/api/v1/simulator"
commands = typer.Typer(
    help="The simulator of a server: show, speed, faults; for tests of clients.", no_args_is_help=True
)
faults = typer.Typer(
    help="Faults of the worker and of the API: list, add, remove, record, load.", no_args_is_help=True
)
commands.add_typer(faults, name="faults")


@commands.command()
@client_command
def show(client: Client) -> Reply:
    """Show the simulator's speed, and whether it makes the pictures."""
    body = client.get(PATH)
    return body, [
        _speed(body),
        "it makes the pictures" if body["on"] else "it does not make the pictures now",
    ]


@commands.command()
@client_command
def speed(
    client: Client,
    name: Annotated[
        str | None,
        typer.Argument(
            help="instant, fast, consumer or slow; default: that of the settings.", metavar="[SPEED]"
        ),
    ] = None,
    step_ms: Annotated[float | None, typer.Option(help="Milliseconds of a sampling step.")] = None,
    load_ms: Annotated[float | None, typer.Option(help="Milliseconds to load a checkpoint.")] = None,
) -> Reply:
    """Change how long simulated renders take, in all processes within two seconds."""
    given = {"stepMs": step_ms, "loadMs": load_ms, "speed": name}
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    body = client.call("PATCH", PATH, json=changes or {"speed": None})
    return body, _speed(body)


@faults.command("list")
@client_command
def list_(client: Client) -> Reply:
    """List the faults in the order in which they are tried."""
    worker, http = client.get(PATH)["faults"], client.get(f"{PATH}/faults")["items"]
    table = make_table("ID", "OF", "STRUCK", "RULE")
    for kind, items in (("worker", worker), ("API", http)):
        for each in items:
            table.add_row(each["id"], kind, str(each["hits"]), json.dumps(each["rule"]))
    return {"worker": worker, "http": http}, table if worker or http else "no fault is set"


@faults.command()
@client_command
def add(
    client: Client,
    fault: Annotated[str, typer.Argument(help="Such as out_of_memory, hang, crash or content.")],
    probability: Annotated[float, typer.Option(help="Share of the attempts that it strikes.")] = 1.0,
    times: Annotated[int, typer.Option(help="It strikes the first so many attempts of a job.")] = 1,
    model: Annotated[str | None, typer.Option(help="Only jobs whose model contains this text.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Only jobs whose prompt contains this text.")] = None,
    node: Annotated[str | None, typer.Option(help="Only on this simulated node.")] = None,
) -> Reply:
    """Set a fault of the worker, in all processes within two seconds."""
    given = {"fault": fault, "probability": probability, "times": times}
    given |= {"model": model, "prompt": prompt, "node": node}
    body = client.post(
        f"{PATH}/worker-faults", {key: value for key, value in given.items() if value is not None}
    )
    return body, f"fault {body['id']} is set; remove it: imagemill simulator faults remove {body['id']}"


@faults.command()
@client_command
def remove(
    client: Client,
    id_: Annotated[
        str | None, typer.Argument(help="The fault of the worker. Default: all faults.", metavar="[ID]")
    ] = None,
) -> Reply:
    """Remove a fault of the worker, or all faults that were set while the server runs."""
    if id_ is not None:
        client.delete(f"{PATH}/worker-faults/{quote_segment(id_)}")
        return {"removed": id_}, f"removed {id_}"
    client.delete(f"{PATH}/worker-faults")
    client.delete(f"{PATH}/faults")
    return {"removed": "all"}, "removed all faults"


@faults.command()
@client_command
def record(client: Client, file: Annotated[Path, typer.Argument(help="The file to write.")]) -> Reply:
    """Write the speed and the faults, in their order, to a scenario file."""
    body = client.get(f"{PATH}/scenario")
    try:
        file.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise CliError(f"{file} cannot be written: {error.strerror}", UNUSABLE) from error
    return (
        body,
        f"wrote {len(body['rule'])} faults of the worker and {len(body['http'])} of the API to {file}",
    )


@faults.command("load")
@client_command
def load_(client: Client, file: Annotated[Path, typer.Argument(help="A scenario file in JSON.")]) -> Reply:
    """Replace the faults by those of a scenario file."""
    try:
        scenario = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CliError(f"{file} cannot be read: {error.strerror}", UNUSABLE) from error
    except ValueError as error:
        raise CliError(f"{file} is not JSON: {error}", UNUSABLE) from error
    body = client.put(f"{PATH}/scenario", scenario)
    return body, f"loaded; {len(body['faults'])} faults of the worker are set"


def _speed(body: dict[str, Any]) -> str:
    name = body["speed"] or "own values"
    return f"{name}: {body['stepMs']:g} ms a step, {body['loadMs']:g} ms to load a checkpoint"
