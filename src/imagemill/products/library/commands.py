"""``imagemill library``: the model library of a server."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli.client import (
    ApiError,
    Client,
    Reply,
    ServerUnreachable,
    client_command,
    quote_segment,
)
from imagemill.cli.follow import EXIT_STATUS, GIVE_UP_S, describe_status, follow
from imagemill.cli.output import REFUSED, UNUSABLE, CliError, OtherOwner, Printer

if TYPE_CHECKING:
    from imagemill.media.contact_sheet import Tile

commands = typer.Typer(
    help="The model library (photos of fashion models): list, show, versions, edit, batch, test, sheet.",
    no_args_is_help=True,
)

ModelId = Annotated[str, typer.Argument(help="The model's id.", metavar="MODEL")]
Grid = Annotated[
    str | None,
    typer.Option("--grid", help="Only these cells, such as gender=female,style=casual. Default: all cells."),
]
Save = Annotated[
    bool,
    typer.Option(
        "--save/--no-save",
        help="Store the models in the library; with --no-save their files stay with the jobs only.",
    ),
]
_API_NAMES = {"age_range": "ageRange", "body_type": "bodyType"}
_POLL_S = 0.5
_ENDED = ("succeeded", "failed", "canceled", "expired")


@commands.command("list")
@client_command
def list_(
    client: Client,
    grid: Grid = None,
    latest: Annotated[bool, typer.Option("--latest", help="Only the newest version of each model.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=500, help="The largest number of models to list.")
    ] = 20,
    cursor: Annotated[
        str | None, typer.Option(help="Continue a list: the value `next` of the page before.")
    ] = None,
    owner: OtherOwner = None,
) -> Reply:
    """List models, newest first."""
    query = {
        **_grid_fields(grid),
        "limit": limit,
        "cursor": cursor,
        "latest": latest or None,
        "owner": owner,
    }
    page = client.get("/api/v1/library", **{name: value for name, value in query.items() if value})
    if not page["items"]:
        empty = (
            "no such models"
            if grid or owner
            else "no models yet; make some: imagemill library batch --count 6"
        )
        return page, empty
    more = [f"\nmore: imagemill library list --cursor {page['next']}"] if page["next"] else []
    return page, [_table(page["items"]), *more]


@commands.command("grid")
@client_command
def show_grid(client: Client, grid: Grid = None, owner: OtherOwner = None) -> Reply:
    """Show which cells have a model: a digit is the newest version, * is being made, . is missing."""
    query = {**_grid_fields(grid), "owner": owner}
    body = client.get("/api/v1/library/grid", **{name: value for name, value in query.items() if value})
    return body, [
        *_heat_map(body["cells"]),
        "",
        f"{body['present']} made, {body['underWay']} in progress, {body['missing']} missing",
    ]


def _heat_map(cells: list[dict[str, Any]]) -> list[str]:
    """Return a line for each gender, age and body; its columns are the poses, and in them the styles."""
    rows: dict[str, dict[str, str]] = {}
    for cell in cells:
        name = f"{cell['gender']} {cell['ageRange']} {cell['bodyType']}"
        mark = str(min(cell["version"], 9)) if cell["version"] else "*" if cell["jobId"] else "."
        row = rows.setdefault(name, {})
        row[cell["pose"]] = row.get(cell["pose"], "") + mark
    width = len("front standing")
    head = [f"{'':<24}" + " ".join(f"{pose:<{width}}" for pose in next(iter(rows.values())))] if rows else []
    lines = [
        f"{name:<24}" + " ".join(f"{marks:<{width}}" for marks in row.values()) for name, row in rows.items()
    ]
    return [*head, *lines]


@commands.command()
@client_command
def show(client: Client, model: ModelId) -> Reply:
    """Show one model: its parameters, prompt and pictures."""
    body = client.get(f"/api/v1/library/{quote_segment(model)}")
    return body, _facts(body)


@commands.command()
@client_command
def versions(client: Client, model: ModelId) -> Reply:
    """List all versions of a model's template, newest first."""
    body = client.get(f"/api/v1/library/{quote_segment(model)}/versions")
    return body, _table(body["items"])


@commands.command()
@client_command
def edit(
    client: Client,
    out: Printer,
    model: ModelId,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", help="Change the picture with this prompt (image-to-image)."),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a parameter, such as pose=walking; may be repeated."),
    ] = None,
    denoise: Annotated[
        float | None,
        typer.Option(
            "--denoise", min=0, max=1, help="Denoising strength: 0 keeps the picture, 1 ignores it."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Change the seed.")] = None,
) -> None:
    """Make the next version of a model's template and wait for it. The exit status is 0 on success."""
    fields = {**_grid_fields(",".join(given or [])), "prompt": prompt, "denoise": denoise, "seed": seed}
    changes = {name: value for name, value in fields.items() if value is not None}
    order = client.post(f"/api/v1/library/{quote_segment(model)}/edit", changes)
    _follow_one(out, client, order)


@commands.command()
@client_command
def batch(
    client: Client,
    out: Printer,
    count: Annotated[
        int | None,
        typer.Option("--count", min=1, max=1000, help="Make at most this many of the missing models."),
    ] = None,
    grid: Grid = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be made and its price; submit nothing.")
    ] = False,
    save: Save = True,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Whether to wait until the models are made.")
    ] = True,
) -> None:
    """Make the missing models of a grid; those that exist or are being made are skipped."""
    if count is None and grid is None:
        raise CliError(
            "give a number with --count, or the cells with --grid; --grid all is every cell", UNUSABLE
        )
    fields: dict[str, Any] = {"grid": _grid_fields(grid), "save": save, "dryRun": dry_run}
    order = client.post("/api/v1/library/batch", fields | ({"count": count} if count else {}))
    if out.as_json:
        out.json(order)
    elif dry_run:
        _print_quote(out, order)
    else:
        out.say(_count_cells(order))
    if wait and not dry_run:
        _follow_batches(out, client, order)


@commands.command("test")
@client_command
def make_one(client: Client, out: Printer, save: Save = True) -> None:
    """Make one model, to test the server. The exit status is 0 on success."""
    from imagemill.products.library.grid import PARAMETERS

    fields = {name: values[0] for name, values in PARAMETERS.items()}
    _follow_one(out, client, client.post("/api/v1/library", {**fields, "save": save}))


@commands.command()
@client_command
def sheet(
    client: Client,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The .png or .html file to write.", dir_okay=False)
    ] = Path("model-library.png"),
    grid: Grid = None,
    missing: Annotated[bool, typer.Option("--missing", help="Also show the cells without a model.")] = False,
    columns: Annotated[
        int | None, typer.Option("--columns", min=1, max=50, help="Pictures side by side.")
    ] = None,
) -> Reply:
    """Write a contact sheet of the newest version of each model, with labels and seeds."""
    from imagemill.cli.contact_sheet import check_output, write_sheet

    check_output(output)
    # Models are chosen by template: an edit may have changed the parameters of the newest version.
    cells = _cells(grid)
    rows: dict[str, Any] = {
        row["templateId"]: row for row in _latest_models(client) if row["templateId"] in cells
    }
    names = list(dict.fromkeys((cells if missing else []) + sorted(rows)))
    tiles = [_tile(client, name, rows.get(name)) for name in names]
    return write_sheet(output, tiles, f"Model library: {len(rows)} models", columns=columns, noun="cells")


def _latest_models(client: Client) -> list[dict[str, Any]]:
    """Return the newest version of each template; the server is asked page by page."""
    rows: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next": None}
    while True:
        more = {"cursor": page["next"]} if page["next"] else {}
        page = client.get("/api/v1/library", limit=500, latest="true", **more)
        rows += page["items"]
        if page["next"] is None:
            return rows


def _tile(client: Client, name: str, row: Mapping[str, Any] | None) -> "Tile":
    from imagemill.media.contact_sheet import Tile

    if row is None:
        return Tile(b"", (name, "missing"))
    response = client.http.get(f"/api/v1/library/{quote_segment(row['id'])}/thumbnail", follow_redirects=True)
    seed = row["metadata"].get("seed")
    label = f"version {row['version']}" + (f", seed {seed}" if seed is not None else "")
    return Tile(response.content if response.is_success else b"", (name, label))


def _cells(grid: str | None) -> list[str]:
    """Return the template ids of the cells of a grid."""
    from imagemill.products.library import grid as grid_terms

    return [cell.template_id for cell in grid_terms.list_cells(_parse_grid(grid))]


def _parse_grid(grid: str | None) -> dict[str, str]:
    """Parse ``NAME=VALUE,...``. Raises `CliError` that names the parameter and its values."""
    from imagemill.domain.errors import InvalidInput
    from imagemill.products.library.grid import parse_filter

    if grid is None or grid.strip().lower() in ("", "all"):
        return {}
    try:
        return parse_filter(grid)
    except InvalidInput as error:
        raise CliError(str(error), UNUSABLE) from error


def _grid_fields(grid: str | None) -> dict[str, str]:
    """Return the parameters of a grid under the names of the API."""
    return {_API_NAMES.get(name, name): value for name, value in _parse_grid(grid).items()}


def _table(rows: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("MODEL", "TEMPLATE", "VERSION", "CREATED", "SEED"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        seed = row["metadata"].get("seed")
        seed_text = "" if seed is None else str(seed)
        table.add_row(row["id"], row["templateId"], str(row["version"]), row["createdAt"][:19], seed_text)
    return table


def _facts(row: dict[str, Any]) -> list[Any]:
    from rich.text import Text

    facts = {
        "template": f"{row['templateId']}, version {row['version']}",
        "looks": ", ".join(row[name] for name in ("gender", "ageRange", "bodyType", "pose", "style")),
        "prompt": row["prompt"],
        "seed": row["metadata"].get("seed"),
        "request": row["falRequestId"],
        "job": row["jobId"],
        "took": None if row["processingTimeMs"] is None else f"{row['processingTimeMs'] / 1000:.2f} s",
        "picture": row["signed"]["imageUrl"],
        "thumbnail": row["signed"]["thumbnailUrl"],
    }
    return [
        Text.assemble(("model ", "dim"), (row["id"], "bold")),
        *(
            Text.assemble((f"  {name:<10}", "dim"), str(value))
            for name, value in facts.items()
            if value is not None
        ),
    ]


def _print_quote(out: Printer, order: dict[str, Any]) -> None:
    """Print a dry run: the prompt of each cell to make, the number of cells in each state and the price."""
    from rich.text import Text

    for cell in order["cells"]:
        if cell["state"] == "new":
            out.say(Text.assemble(("to make  ", "green"), cell["prompt"]))
    free = "" if order["charged"] else "; jobs are free on this server"
    out.say(f"\n{_count_cells(order)}")
    out.say(f"price: {order['cost']:g} credits{free}. Nothing was submitted.")
    for name, dollars in (order.get("providerDollars") or {}).items():
        bill = "an unknown amount" if dollars is None else f"about {dollars:g} dollars"
        out.say(f"{name} bills {bill} if it makes them all.")


def _count_cells(order: dict[str, Any]) -> str:
    """Return how many cells are in each state: ``3 to make, 1 already made, 284 skipped by --count``."""
    parts = [f"{order['new']} to make", f"{order['present']} already made"]
    if order["underWay"]:
        parts.append(f"{order['underWay']} in progress")
    if order["missing"]:
        parts.append(f"{order['missing']} skipped by --count")
    return ", ".join(parts)


def _follow_one(out: Printer, client: Client, order: dict[str, Any]) -> None:
    """Wait for the job of an order and print its pictures. Exits with 1 unless it succeeded."""
    last = None
    for message in follow(client, order["jobId"]):
        last = message
    job = client.get(f"/api/v1/jobs/{quote_segment(order['jobId'])}")
    if out.as_json:
        out.json({**order, "job": job})
    elif job["error"]:
        out.say(f"{order['templateId']}: {job['error']['message']}")
    else:
        out.say(f"{order['templateId']} {describe_status(job['status'])}")
        for picture in job["artifacts"]:
            out.say(f"  {picture['width']} x {picture['height']}  {picture['url']}")
    raise typer.Exit(EXIT_STATUS[last.name] if last is not None else REFUSED)


def _follow_batches(out: Printer, client: Client, order: dict[str, Any]) -> None:
    """Wait for all batches of an order, with a progress bar. Exits with 1 if a job did not succeed."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    batches: list[str] = order["batches"]
    # Batches of earlier orders also hold cells that this order did not ask for, and old failures.
    wanted = {cell["jobId"] for cell in order["cells"] if cell["state"] in ("new", "under_way")}
    if not wanted:
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=out.console, disable=out.as_json) as bar:
        task = bar.add_task("", total=len(wanted))
        while True:
            reports = [_read_batch(client, batch) for batch in batches]
            states = {id_: state for each in reports for id_, state in each["jobs"].items() if id_ in wanted}
            ended = [state for state in states.values() if state in _ENDED]
            failed = len(ended) - ended.count("succeeded")
            bar.update(task, completed=len(ended), description=f"{failed} failed" if failed else "")
            if len(ended) == len(states):
                break
            time.sleep(_POLL_S)
    failures = [each for report in reports for each in report["failures"] if each["jobId"] in wanted]
    if out.as_json:
        out.json({"jobs": states, "failures": failures})
    for failure in failures[:20]:
        out.say(f"{failure['name']}: {failure['error']['message']}")
    raise typer.Exit(REFUSED if failed else 0)


def _read_batch(client: Client, batch: str) -> dict[str, Any]:
    """Return the state of a batch; retries for `GIVE_UP_S` while the server restarts."""
    deadline = time.monotonic() + GIVE_UP_S
    while True:
        try:
            return client.get(f"/api/v1/library/batch/{quote_segment(batch)}")
        except (ServerUnreachable, ApiError) as error:
            is_refused = isinstance(error, ApiError) and error.status_code < 500
            if time.monotonic() > deadline or is_refused:
                raise
        except CliError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)
