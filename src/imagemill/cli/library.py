"""``imagemill models``: the model library of a server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli.output import TOKEN, UNUSABLE, CliError, Json, Printer, Token, Url

if TYPE_CHECKING:
    from imagemill.cli.client import Client

commands = typer.Typer(help="The model library: make, list, edit, look at all of it.", no_args_is_help=True)

ModelId = Annotated[str, typer.Argument(help="The model's id.", metavar="MODEL")]
Grid = Annotated[
    str | None, typer.Option("--grid", help="Which cells, such as gender=female,style=casual. Default: all.")
]
_CAMEL = {"age_range": "ageRange", "body_type": "bodyType"}
Save = Annotated[bool, typer.Option("--save/--no-save", help="Without: no rows, files stay with the jobs.")]


@commands.command("list")
def list_(
    grid: Grid = None,
    latest: Annotated[bool, typer.Option("--latest", help="Only the newest version of each.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="At most so many.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="`next` of the page before.")] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """List models, newest first."""
    from imagemill.cli.client import Client

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        query = {**_query(grid), "limit": limit, "cursor": cursor, "latest": latest or None}
        page = client.get("/api/v1/models", **{name: value for name, value in query.items() if value})
        if as_json:
            out.json(page)
        elif not page["items"]:
            out.say(
                "no such models" if grid else "no models yet; make some: imagemill models batch --count 6"
            )
        else:
            out.say(_table(page["items"]))
            if page["next"]:
                out.say(f"\nmore: imagemill models list --cursor {page['next']}")


@commands.command()
def show(model: ModelId, as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """Show one model: its parameters, prompt and pictures."""
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.get(f"/api/v1/models/{segment(model)}")
        if as_json:
            out.json(body)
        else:
            _show(out, body)


@commands.command()
def versions(model: ModelId, as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """List all versions of a model's template, newest first."""
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.get(f"/api/v1/models/{segment(model)}/versions")
        if as_json:
            out.json(body)
        else:
            out.say(_table(body["items"]))


@commands.command()
def edit(
    model: ModelId,
    prompt: Annotated[str | None, typer.Option("--prompt", help="Draw its picture anew by this.")] = None,
    given: Annotated[
        list[str] | None, typer.Option("--set", help="Another parameter: --set pose=walking.")
    ] = None,
    denoise: Annotated[
        float | None, typer.Option("--denoise", min=0, max=1, help="How much of it is drawn anew.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Another seed.")] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Make the next version of a model's template. Exit status 0 once it is there."""
    from imagemill.cli.client import Client, segment
    from imagemill.cli.library_orders import follow_one

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = {**_query(",".join(given or [])), "prompt": prompt, "denoise": denoise, "seed": seed}
        changes = {name: value for name, value in body.items() if value is not None}
        told = client.post(f"/api/v1/models/{segment(model)}/edit", changes)
        follow_one(out, client, told)


@commands.command()
def batch(
    count: Annotated[
        int | None, typer.Option("--count", min=1, max=1000, help="The first so many that are missing.")
    ] = None,
    grid: Grid = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be made and what it costs; send nothing.")
    ] = False,
    save: Save = True,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Without: order, and do not look on.")
    ] = True,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Make the cells of a grid that are missing; the same again makes only what is missing still."""
    from imagemill.cli.client import Client
    from imagemill.cli.library_orders import follow_batches, show_order, show_quote

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        if count is None and grid is None:
            raise CliError(
                "say how many with --count, or which with --grid; --grid all is every cell", UNUSABLE
            )
        body: dict[str, Any] = {"grid": _query(grid), "save": save, "dryRun": dry_run}
        told = client.post("/api/v1/models/batch", body | ({"count": count} if count else {}))
        if dry_run:
            show_quote(out, told)
            return
        show_order(out, told)
        if wait:
            follow_batches(out, client, told)


@commands.command("test")
def make_one(
    save: Save = True,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Make one model, to see that everything works. Exit status 0 once it is there."""
    from imagemill.cli.client import Client
    from imagemill.cli.library_orders import follow_one
    from imagemill.products.library.grid import PARAMETERS

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = {name: values[0] for name, values in PARAMETERS.items()}
        follow_one(out, client, client.post("/api/v1/models", {**body, "save": save}))


@commands.command()
def sheet(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A .png, or an .html page.", dir_okay=False)
    ] = Path("model-library.png"),
    grid: Grid = None,
    missing: Annotated[bool, typer.Option("--missing", help="Also show the cells that are missing.")] = False,
    columns: Annotated[int | None, typer.Option("--columns", min=1, max=50, help="How many beside.")] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Put the newest version of each model on one picture or page, with its label and seed."""
    from imagemill.cli.client import Client
    from imagemill.cli.contact_sheet import check_output, write_sheet

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        check_output(output)
        # By their templates: an edit may have changed the parameters of the newest version.
        cells = _cells(grid)
        rows = {row["templateId"]: row for row in _all(client) if row["templateId"] in cells}
        write_sheet(out, client, output, rows, cells if missing else [], columns)


def _all(client: "Client") -> list[dict[str, Any]]:
    """The newest version of each template, page by page."""
    rows: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next": None}
    while True:
        more = {"cursor": page["next"]} if page["next"] else {}
        page = client.get("/api/v1/models", limit=500, latest="true", **more)
        rows += page["items"]
        if page["next"] is None:
            return rows


def _cells(grid: str | None) -> list[str]:
    from imagemill.products.library import grid as grid_terms

    return [cell.template_id for cell in grid_terms.list_cells(_parsed(grid))]


def _parsed(grid: str | None) -> dict[str, str]:
    """Raises `CliError` that names the parameter and its values."""
    from imagemill.domain.errors import InvalidInput
    from imagemill.products.library.grid import parse_filter

    if grid is None or grid.strip().lower() in ("", "all"):
        return {}
    try:
        return parse_filter(grid)
    except InvalidInput as error:
        raise CliError(str(error), UNUSABLE) from error


def _query(grid: str | None) -> dict[str, str]:
    """As the API names the parameters."""
    return {_CAMEL.get(name, name): value for name, value in _parsed(grid).items()}


def _table(rows: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("MODEL", "TEMPLATE", "VERSION", "CREATED", "SEED"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        seed = row["metadata"].get("seed")
        shown = "" if seed is None else str(seed)
        table.add_row(row["id"], row["templateId"], str(row["version"]), row["createdAt"][:19], shown)
    return table


def _show(out: Printer, row: dict[str, Any]) -> None:
    from rich.text import Text

    out.say(Text.assemble(("model ", "dim"), (row["id"], "bold")))
    facts = {
        "template": f"{row['templateId']}, version {row['version']}",
        "looks": ", ".join(row[name] for name in ("gender", "ageRange", "bodyType", "pose", "style")),
        "prompt": row["prompt"],
        "seed": row["metadata"].get("seed"),
        "request": row["falRequestId"],
        "job": row["jobId"],
        "took": None if row["processingTimeMs"] is None else f"{row['processingTimeMs'] / 1000:.2f} s",
        "picture": row["signed"]["imageUrl"],
        "small": row["signed"]["thumbnailUrl"],
    }
    for name, value in facts.items():
        if value is not None:
            out.say(Text.assemble((f"  {name:<9}", "dim"), str(value)))
