"""``imagemill resources``: the model registry of a server."""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command, quote_segment
from imagemill.cli.output import UNUSABLE, CliError, make_table
from imagemill.cli.resource_rows import SourceRow, read_source

_MOST_ROWS = 200
_MOST_CHARACTERS = 2**20
"""Rows and characters of JSON of a request of an import."""
_MOST_SHOWN = 50
"""Rows of an import that are printed."""
_MOST_IGNORED = 20

commands = typer.Typer(
    help="The model registry: add, import, list, show, set, remove. Files of nodes: imagemill models.",
    no_args_is_help=True,
)

AirArgument = Annotated[
    str,
    typer.Argument(
        help="The model's AIR: urn:air:sdxl:checkpoint:civitai:101055@128078; or the name of its file.",
        metavar="AIR",
    ),
]
ModelName = Annotated[str | None, typer.Option("--name", help="The model's name.")]
VersionName = Annotated[str | None, typer.Option("--version-name", help="The version's name.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be repeated.")]
Words = Annotated[
    list[str] | None, typer.Option("--word", help="A trigger word of the model; may be repeated.")
]
BaseModelName = Annotated[
    str | None,
    typer.Option("--base-model", help="The base model by Civitai's name: SDXL 1.0, Pony, Flux.1 D, ..."),
]
ModelFile = Annotated[
    str | None,
    typer.Option(
        "--file", help="The model's file below a node's model folder. Default: a path made from the AIR."
    ),
]


@commands.command()
@client_command
def add(
    client: Client,
    air: AirArgument,
    name: ModelName = None,
    version: VersionName = None,
    file: ModelFile = None,
    tags: Tags = None,
    words: Words = None,
    base_model: BaseModelName = None,
) -> Reply:
    """Register a model, so that jobs may use it. Files of a node: imagemill models import."""
    fields = {"air": air, **_fields(name, version, file, tags, words, base_model)}
    body = client.post("/v2/resources", {key: value for key, value in fields.items() if value})
    return body, f"registered {body['air']}, expected on a node as {body['path']}"


@commands.command("import")
@client_command
def import_(
    client: Client,
    source: Annotated[
        str, typer.Argument(help="The file, an http(s) URL, or - for standard input.", metavar="FILE|URL")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be registered.")] = False,
    skip_refused: Annotated[
        bool, typer.Option("--skip-refused", help="Register the other rows when some are refused.")
    ] = False,
) -> Reply:
    """Register the models of a JSON file: a list, or JSON lines. It can be repeated.

    Rows: as `resources show --json` prints, of a mongoexport, or of Civitai's site (/api/v1/models/ID).
    """
    rows = read_source(source)
    unreadable = [_unread(row) for row in rows if not row.text]
    found = unreadable + _send(client, rows, dry_run=True)
    refused = [item for item in found if item["state"] == "refused"]
    if not dry_run and (skip_refused or not refused):
        found = unreadable + _send(client, rows, dry_run=False)
    body = _report(found, written=not dry_run and (skip_refused or not refused))
    if refused and not dry_run and not skip_refused:
        raise CliError(
            f"{_rows(len(refused))} refused, so nothing was registered; mend the file, or repeat it with "
            "--skip-refused",
            details=tuple(_refusals(refused)),
            body=body,
        )
    table = [_import_table(body["items"])] if _to_show(body["items"]) else []
    return body, [*table, *_import_notes(body)]


@commands.command("list")
@client_command
def list_(
    client: Client,
    query: Annotated[str | None, typer.Argument(help="A text to find in AIRs, names and tags.")] = None,
    page: Annotated[int, typer.Option(min=1, help="The page to show, from 1.")] = 1,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=100, help="The number of models on a page.")
    ] = 20,
) -> Reply:
    """List models, or search them."""
    body = client.get("/v2/resources", page=page, limit=limit, **({"q": query} if query else {}))
    if not body["items"]:
        empty = "no model is found" if query else "no model is registered; see imagemill resources add --help"
        return body, empty
    has_more = body["total"] > page * limit
    more = [f"\n{body['total']} in all; more: --page {page + 1}"] if has_more else []
    return body, [_table(body["items"]), *more]


@commands.command()
@client_command
def show(client: Client, air: AirArgument) -> Reply:
    """Show one model."""
    body = client.get(f"/v2/resources/{quote_segment(air)}")
    return body, [
        f"{name:<30}{_line(value)}" for name, value in body.items() if value not in (None, [], {}, "")
    ]


@commands.command("set")
@client_command
def set_(
    client: Client,
    air: AirArgument,
    name: ModelName = None,
    version: VersionName = None,
    file: ModelFile = None,
    tags: Tags = None,
    words: Words = None,
    base_model: BaseModelName = None,
) -> Reply:
    """Change a registered model; an empty value puts a field back to its default.

    The tag `default` makes a checkpoint the one for jobs that name none.
    """
    given = {
        key: value
        for key, value in _fields(name, version, file, tags, words, base_model).items()
        if value is not None
    }
    if not given:
        raise CliError(
            "give what to change, such as --file NAME; see imagemill resources set --help", UNUSABLE
        )
    changes = {key: _emptied(value) for key, value in given.items()}
    body = client.call("PATCH", f"/v2/resources/{quote_segment(air)}", json=changes)
    return body, f"changed {body['air']}, expected on a node as {body['path']}"


@commands.command()
@client_command
def remove(client: Client, air: AirArgument) -> Reply:
    """Remove a model from the registry; its files on the nodes stay."""
    client.delete(f"/v2/resources/{quote_segment(air)}")
    return {"removed": air}, f"removed {air}"


def _line(value: Any) -> str:
    """Return a value of a resource as one line."""
    if isinstance(value, dict):
        pairs: dict[str, Any] = value
        return ", ".join(f"{name}: {_line(each)}" for name, each in pairs.items())
    if isinstance(value, list):
        items: list[Any] = value
        return ", ".join(map(_line, items))
    return str(value)


def _send(client: Client, rows: Sequence[SourceRow], *, dry_run: bool) -> list[dict[str, Any]]:
    """Send the readable rows in parts; return their results with their lines."""
    results: list[dict[str, Any]] = []
    flags = f'"dryRun":{json.dumps(dry_run)},"skipRefused":true'
    for part in _parts([row for row in rows if row.text]):
        content = f'{{"rows":[{",".join(row.text for row in part)}],{flags}}}'
        body = client.call("POST", "/api/v1/resources/import", content=content)
        results += [{"line": part[item.pop("row")].line, **item} for item in body["items"]]
    return results


def _parts(rows: Sequence[SourceRow]) -> Iterator[list[SourceRow]]:
    part: list[SourceRow] = []
    size = 0
    for row in rows:
        if part and (len(part) == _MOST_ROWS or size + len(row.text) > _MOST_CHARACTERS):
            yield part
            part, size = [], 0
        part.append(row)
        size += len(row.text)
    if part:
        yield part


def _unread(row: SourceRow) -> dict[str, Any]:
    return {"line": row.line, "state": "refused", "air": None, "errors": [row.error], "ignored": []}


def _report(found: list[dict[str, Any]], *, written: bool) -> dict[str, Any]:
    states = [item["state"] for item in found]
    counts = {state: states.count(state) for state in ("created", "changed", "unchanged", "refused")}
    return {"written": written, **counts, "items": sorted(found, key=lambda item: item["line"])}


def _import_table(items: list[dict[str, Any]]) -> Any:
    """Return the first rows that are not unchanged, the refused ones before the others."""
    table = make_table("LINE", "STATE", "AIR", "REASON")
    for item in sorted(_to_show(items), key=lambda item: item["state"] != "refused")[:_MOST_SHOWN]:
        table.add_row(str(item["line"]), item["state"], item["air"] or "", "; ".join(item["errors"]))
    return table


def _to_show(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in items if item["state"] != "unchanged"]


def _import_notes(body: dict[str, Any]) -> list[str]:
    counts = ", ".join(f"{body[state]} {state}" for state in ("created", "changed", "unchanged", "refused"))
    more = len(_to_show(body["items"])) - _MOST_SHOWN
    notes = [f"{_rows(more)} more; --json lists all"] if more > 0 else []
    notes += [f"{counts}{'' if body['written'] else '; nothing was written'}"]
    ignored = sorted({name for item in body["items"] for name in item["ignored"]})
    if ignored:
        shown = ", ".join(ignored[:_MOST_IGNORED]) + (" ..." if len(ignored) > _MOST_IGNORED else "")
        notes.append(f"not kept, as models have no such fields: {shown}")
    return notes


def _refusals(refused: list[dict[str, Any]]) -> Iterator[str]:
    for item in refused[:_MOST_SHOWN]:
        yield f"line {item['line']}: {'; '.join(item['errors'])}"
    if len(refused) > _MOST_SHOWN:
        yield f"and {_rows(len(refused) - _MOST_SHOWN)} more"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _fields(
    name: str | None,
    version: str | None,
    file: str | None,
    tags: list[str] | None,
    words: list[str] | None,
    base_model: str | None,
) -> dict[str, Any]:
    return {
        "baseModel": base_model,
        "modelName": name,
        "versionName": version,
        "fileName": file,
        "tags": tags,
        "trainedWords": words,
    }


def _emptied(value: str | list[str]) -> str | list[str] | None:
    """Return None for an empty text, and for a list of nothing but empty texts."""
    return value if any(value) else None


def _table(resources: list[dict[str, Any]]) -> Any:
    table = make_table("AIR", "TYPE", "NAME", "VERSION", "TAGS")
    for resource in resources:
        table.add_row(
            resource["air"],
            resource["type"],
            resource["modelName"] or "",
            resource["versionName"] or "",
            ", ".join(resource["tags"]),
        )
    return table
