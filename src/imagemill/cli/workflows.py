"""``imagemill workflows``: ComfyUI graphs stored on a server, run as recipes with typed inputs."""

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from imagemill.cli.client import Client, Reply, client_command, complete_workflow_name, quote_segment
from imagemill.cli.follow import EXIT_STATUS, JobDisplay, describe_status, follow
from imagemill.cli.output import REFUSED, UNUSABLE, CliError, OtherOwner, Printer, make_table, print_file
from imagemill.cli.saved_files import save_files

commands = typer.Typer(
    help="Run ComfyUI graphs with typed inputs: propose, add, list, show, edit, versions, diff, remove, run.",
    no_args_is_help=True,
)

Name = Annotated[
    str, typer.Argument(help="The workflow's name.", metavar="NAME", autocompletion=complete_workflow_name)
]
Manifest = Annotated[
    Path | None,
    typer.Option("--manifest", help="TOML file that describes the inputs, as `workflows show` prints it."),
]
Shared = Annotated[
    bool,
    typer.Option("--shared", help="A workflow of all users instead of your own; for operators."),
]
Version = Annotated[
    int | None, typer.Option("--version", min=0, help="The workflow's version. Default: the newest.")
]

_PICTURES = ("image", "mask")
_SIGNATURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
_PNG_HEAD = 2_000_000
"""Bytes of a PNG that are sent: its metadata stand before its pixels."""
_REMEMBERED = "is_changed"
"""A field of nodes, often NaN, that ComfyUI saves in its pictures and does not read."""


@commands.command()
@client_command
def add(
    client: Client,
    name: Annotated[str, typer.Argument(help="A name of your choice for the workflow.", metavar="NAME")],
    graph: Annotated[
        Path | None,
        typer.Argument(
            help="The file that ComfyUI's Export (API) saves. Optional with --manifest.",
            metavar="GRAPH",
        ),
    ] = None,
    manifest: Manifest = None,
    shared: Shared = False,
) -> Reply:
    """Add a graph as a recipe: its prompts, seed, size, pictures and models become typed inputs."""
    fields = _read_files(graph, manifest, "name GRAPH, --manifest or both")
    body = client.post(f"/api/v1/workflows{_query(shared)}", {"name": name, **fields})
    return body, [
        f"added {body['name']}, version {body['version']}, with these inputs:\n",
        _inputs_table(body),
        f"\nrun it: imagemill workflows run {body['name']} {_example(body)}",
    ]


@commands.command()
@client_command
def propose(
    client: Client,
    file: Annotated[
        Path, typer.Argument(help="A graph that ComfyUI has exported, or a PNG it has saved.", metavar="FILE")
    ],
) -> Reply:
    """Show the inputs that a graph would have as a workflow, and what it lacks. Nothing is added."""
    data = _read(file)
    if data.startswith(b"\x89PNG"):
        source: dict[str, Any] = {"picture": base64.b64encode(data[:_PNG_HEAD]).decode()}
    else:
        source = {"graph": _read_graph(file)}
    body = client.post("/api/v1/workflows/propose", source)
    missing = [f"missing: {each['name']} ({each['kind']})" for each in body["needs"] if each["missing"]]
    return body, [_inputs_table(body), *missing, *(each["message"] for each in body["problems"])]


@commands.command()
@client_command
def diff(
    client: Client,
    name: Name,
    before: Annotated[int, typer.Argument(help="Number of a version.", metavar="FROM")],
    after: Annotated[int, typer.Argument(help="Number of another version.", metavar="TO")],
) -> Reply:
    """Compare two versions of a workflow."""
    path = f"/api/v1/workflows/{quote_segment(name)}/diff"
    body = client.get(path, **{"from": before, "to": after})
    if not body["items"]:
        return body, "the versions are equal"
    table = make_table("PART", "NAME", "BEFORE", "AFTER")
    for each in body["items"]:
        sides = ("" if each[side] is None else json.dumps(each[side]) for side in ("before", "after"))
        table.add_row(each["part"], each["name"], *sides)
    return body, table


@commands.command("list")
@client_command
def list_(client: Client, owner: OtherOwner = None) -> Reply:
    """List the workflows and their inputs."""
    body = client.get("/api/v1/workflows", **({"owner": owner} if owner else {}))
    if not body["items"]:
        return body, "no workflows yet; add one: imagemill workflows add NAME graph.json"
    return body, _table(body["items"])


@commands.command()
@client_command
def show(client: Client, out: Printer, name: Name, version: Version = None) -> Reply | None:
    """Print a workflow's manifest, which can be saved to a file for `workflows edit`."""
    query = {} if version is None else {"version": version}
    body = client.get(f"/api/v1/workflows/{quote_segment(name)}", **query)
    if out.as_json:
        return body, ""
    print_file(body["manifest"])  # unchanged: folded lines would be another text
    return None


@commands.command()
@client_command
def versions(client: Client, name: Name) -> Reply:
    """List the versions of a workflow, newest first."""
    body = client.get(f"/api/v1/workflows/{quote_segment(name)}/versions")
    return body, _table(body["items"])


@commands.command()
@client_command
def edit(
    client: Client,
    name: Name,
    manifest: Manifest = None,
    graph: Annotated[
        Path | None,
        typer.Option("--graph", help="File with a new graph; the descriptions of its inputs are kept."),
    ] = None,
    shared: Shared = False,
) -> Reply:
    """Change a workflow's manifest or graph. The previous version is kept."""
    fields = _read_files(graph, manifest, "name --manifest, --graph or both")
    path = f"/api/v1/workflows/{quote_segment(name)}"
    before = client.get(path)["version"]
    body = client.put(path + _query(shared), fields)
    if body["version"] == before:
        return body, f"{name} is unchanged at version {before}"
    return body, f"{name} is now at version {body['version']}"


@commands.command()
@client_command
def remove(client: Client, name: Name, shared: Shared = False) -> Reply:
    """Remove a workflow; jobs that ran it are kept."""
    client.delete(f"/api/v1/workflows/{quote_segment(name)}{_query(shared)}")
    return {"removed": name}, f"removed {name}"


@commands.command()
@client_command
def run(
    client: Client,
    out: Printer,
    name: Name,
    values: Annotated[
        list[str] | None,
        typer.Argument(help="Values of the inputs: prompt='a boat' steps=20", metavar="KEY=VALUE"),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="INPUT=FILE", help="A picture for an input; may be repeated."),
    ] = None,
    version: Version = None,
    labels: Annotated[
        list[str] | None, typer.Option("--label", help="A label that the node must have; may be repeated.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job ends.")] = False,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="DIR", help="Wait for the job and save its files to this folder."),
    ] = None,
) -> Reply | None:
    """Run a workflow. With --wait or --save the exit status is 0 if it succeeded, else 1."""
    path = f"/api/v1/workflows/{quote_segment(name)}"
    query: dict[str, Any] = {} if version is None else {"version": version}
    inputs = client.get(path, **query)["inputs"]
    fields = _parse_inputs(inputs, values or (), images or ())
    job = client.post(path, fields, **query, **({"label": labels} if labels else {}))
    if wait or save is not None:
        raise typer.Exit(_finish(out, client, job["id"], save))
    status = describe_status(job["status"])
    return job, f"job {job['id']} {status}; follow it: imagemill jobs watch {job['id']}"


def _read_files(graph: Path | None, manifest: Path | None, remedy: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if graph is not None:
        fields["graph"] = _read_graph(graph)
    if manifest is not None:
        fields["manifest"] = _read_text(manifest)
    if not fields:
        raise CliError(f"nothing is given; {remedy}", UNUSABLE)
    return fields


def _read_graph(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_read_text(path))
        if not isinstance(found, dict):
            raise CliError(f"{path} holds no graph; a graph is an object with a node for each id", UNUSABLE)
        if unsendable := _non_finite(found):
            raise CliError(
                f"{path} holds {unsendable[1]} at {unsendable[0]}, which JSON cannot express; correct it",
                UNUSABLE,
            )
    except (ValueError, RecursionError) as error:
        raise CliError(f"{path} is not JSON: {error}", UNUSABLE) from error
    return cast("dict[str, Any]", found)


def _non_finite(value: Any, where: str = "") -> tuple[str, float] | None:
    """Return the first number that is not finite, with its path. Drops what ComfyUI remembers of a run."""
    if isinstance(value, float) and not math.isfinite(value):
        return where or "its top", value
    entries: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        node = cast("dict[str, Any]", value)
        node.pop(_REMEMBERED, None)
        entries = [(f"{where}.{name}" if where else name, inner) for name, inner in node.items()]
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        entries = [(f"{where}[{position}]", inner) for position, inner in enumerate(items)]
    return next((found for path, inner in entries if (found := _non_finite(inner, path))), None)


def _read_text(path: Path) -> str:
    try:
        return _read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CliError(f"{path} is not text", UNUSABLE) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}", UNUSABLE) from error


def _query(shared: bool) -> str:
    return "?shared=true" if shared else ""


def _inputs_table(body: dict[str, Any]) -> Any:
    if not body["inputs"]:
        return "none; add some to its manifest, which `imagemill workflows show` prints"
    table = make_table("INPUT", "TYPE", "DEFAULT", "RANGE")
    for each in body["inputs"]:
        table.add_row(each["name"], each["type"], _format_default(each), _format_range(each))
    return table


def _format_default(input_: dict[str, Any]) -> str:
    if input_["required"]:
        return "(required)"
    text = str(input_.get("default", ""))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _format_range(input_: dict[str, Any]) -> str:
    if choices := input_.get("choices"):
        return ", ".join(choices[:4]) + (f", ... ({len(choices)})" if len(choices) > 4 else "")
    low, high = input_.get("minimum"), input_.get("maximum")
    if low is None and high is None:
        return ""
    return f"{'' if low is None else low} .. {'' if high is None else high}"


def _example(body: dict[str, Any]) -> str:
    """Return the arguments of an example run: the first prompt and the required inputs."""
    prompts = [each for each in body["inputs"] if each["type"] == "text"][:1]
    required = [each for each in body["inputs"] if each["required"] and each not in prompts]
    parts = [f"{each['name']}='...'" for each in prompts] + [
        f"--image {each['name']}=FILE" if each["type"] in _PICTURES else f"{each['name']}=..."
        for each in required
    ]
    return " ".join([*parts, "--wait"])


def _table(items: list[dict[str, Any]]) -> Any:
    table = make_table("WORKFLOW", "VERSION", "SOURCE", "TITLE", "INPUTS")
    for item in items:
        version = "" if item["source"] == "built-in" else str(item["version"])
        removed = " (removed)" if item["deletedAt"] else ""
        inputs = ", ".join(each["name"] for each in item["inputs"])
        table.add_row(item["name"], version + removed, item["source"], item["title"], inputs)
    return table


def _parse_inputs(
    inputs: Sequence[Mapping[str, Any]], values: Iterable[str], images: Iterable[str]
) -> dict[str, Any]:
    """Return the values to run a workflow with. Raises `CliError` that names the input.

    Checks that need more than the input's type are made by the server.
    """
    types = {each["name"]: str(each["type"]) for each in inputs}
    fields: dict[str, Any] = {}
    for pair in values:
        name, text = _split(pair, "steps=20")
        _check_name(name, types)
        if types[name] == "loras":
            fields.setdefault(name, []).extend(_parse_loras(name, text))
        else:
            fields[name] = _parse_value(name, text, types[name])
    for pair in images:
        name, text = _split(pair, "--image image=photo.png")
        _check_name(name, types)
        if types[name] not in _PICTURES:
            raise CliError(f"--image: {name} is not a picture but an input of type {types[name]}", UNUSABLE)
        fields[name] = _data_url(Path(text))
    return fields


def _split(pair: str, example: str) -> tuple[str, str]:
    name, equals, text = pair.partition("=")
    if not equals or not name:
        raise CliError(f"{pair!r} should be an input and its value, such as {example}", UNUSABLE)
    return name, text


def _check_name(name: str, types: Mapping[str, str]) -> None:
    if name not in types:
        names = ", ".join(types) or "none"
        raise CliError(f"this workflow has no input {name}; its inputs are {names}", UNUSABLE)


def _parse_value(name: str, text: str, kind: str) -> Any:
    if kind in _PICTURES:
        # A URL or a blob key is sent unchanged, as the server fetches the picture.
        is_address = text.startswith(("http://", "https://", "data:", "blob:"))
        return text if is_address else _data_url(Path(text))
    if kind in ("integer", "seed", "number"):
        try:
            return float(text) if kind == "number" else int(text)
        except ValueError:
            noun = "number" if kind == "number" else "whole number"
            raise CliError(f"{name}: {text!r} is not a {noun}", UNUSABLE) from None
    if kind == "boolean":
        if text.lower() not in ("true", "false"):
            raise CliError(f"{name}: {text!r} is neither true nor false", UNUSABLE)
        return text.lower() == "true"
    return text


def _parse_loras(name: str, text: str) -> list[Any]:
    """Parse a JSON list, or ``FILE_OR_AIR`` with an optional ``*STRENGTH``, which is 1 by default."""
    if text.startswith("["):
        try:
            return json.loads(text)
        except ValueError as error:
            raise CliError(f"{name}: is not JSON: {error}", UNUSABLE) from error
    model, star, strength = text.rpartition("*")
    if not star:
        model, strength = text, "1"
    field = "air" if model.lower().startswith(("urn:air:", "air:", "@")) else "file"
    try:
        return [{field: model, "strength": float(strength)}]
    except ValueError:
        raise CliError(
            f"{name}: {strength!r} is not a strength; write {name}=x.safetensors*0.8", UNUSABLE
        ) from None


def _data_url(path: Path) -> str:
    data = _read(path)
    media_type = next((kind for head, kind in _SIGNATURES.items() if data.startswith(head)), None)
    if media_type is None:
        raise CliError(f"{path} is not a PNG, JPEG or WebP file", UNUSABLE)
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _finish(out: Printer, client: Client, job_id: str, save: Path | None) -> int:
    """Follow the job until it ends, print or save its files; return the exit status."""
    display = JobDisplay(out, "rendering", show_events=False)
    last = display.show(follow(client, job_id, on_break=display.report_break))
    job = client.get(f"/api/v1/jobs/{quote_segment(job_id)}")
    files = save_files(client, job, save) if save else []
    if out.as_json:
        out.json(job | {"files": files} if save else job)
    elif job["error"]:
        raise CliError(f"job {job_id} failed: {job['error']['message']}", REFUSED)
    else:
        out.say(f"job {job_id} {describe_status(job['status'])}")
        for line in files or [artifact["url"] for artifact in job["artifacts"]]:
            out.say(f"  {line}")
    return EXIT_STATUS[last.name]
