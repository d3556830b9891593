"""``imagemill credits`` and ``imagemill price``: what was paid, and what things cost."""

from typing import Annotated, Any

import typer

from imagemill.cli.output import TOKEN, UNUSABLE, CliError, Json, Printer, Token, Url

commands = typer.Typer(help="Balances, statements, grants and transfers.", no_args_is_help=True)

Owner = Annotated[str | None, typer.Option("--owner", help="Another owner than oneself: for administrators.")]
Amount = Annotated[float, typer.Argument(help="Credits, with at most three decimals.")]
Note = Annotated[str, typer.Option("--note", help="Kept with the entry.")]
Key = Annotated[
    str | None,
    typer.Option("--key", help="Idempotency key: the same one again changes nothing. Default: drawn."),
]


@commands.command()
def balance(owner: Owner = None, as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """Show what is available and what is held for jobs."""
    from imagemill.cli.client import Client

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.get("/api/v1/credits", **({"owner": owner} if owner else {}))
        if as_json:
            out.json(body)
            return
        exempt = ", pays nothing" if body["exempt"] else ""
        out.say(f"{body['owner']}: {body['available']:g} available, {body['held']:g} held{exempt}")
        if not body["charged"]:
            out.say("jobs are free here; IMAGEMILL_CREDITS__ENABLED=true charges for them")


@commands.command()
def statement(
    owner: Owner = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="How many entries.")] = 50,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all entries as CSV.")] = False,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Show what was paid, the newest first."""
    from imagemill.cli.client import Client, read

    out = Printer(as_json)
    query: dict[str, Any] = {"owner": owner} if owner else {}
    with out.reporting(), Client(url, token) as client:
        if as_csv:
            found = client.http.get("/api/v1/credits/statement", params={**query, "format": "csv"})
            if not found.is_success:
                read(found)
            typer.echo(found.text, nl=False)
            return
        body = client.get("/api/v1/credits/statement", limit=limit, **query)
        if as_json:
            out.json(body)
        elif not body["items"]:
            out.say("there are no entries")
        else:
            out.say(_table(body["items"]))


@commands.command()
def grant(
    owner: Annotated[str, typer.Argument(help="Who gets them.")],
    amount: Amount,
    note: Note = "",
    key: Key = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Give credits; as an administrator. `-- -5` takes five away."""
    _post("grants", {"owner": owner, "amount": amount, "note": note}, key, Printer(as_json), url, token)


@commands.command()
def transfer(
    sender: Annotated[str, typer.Argument(help="Who gives them.", metavar="FROM")],
    recipient: Annotated[str, typer.Argument(help="Who gets them: account, or account:user.", metavar="TO")],
    amount: Amount,
    note: Note = "",
    key: Key = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Move credits between an account and its end users; an administrator, between any two."""
    body = {"from": sender, "to": recipient, "amount": amount, "note": note}
    _post("transfers", body, key, Printer(as_json), url, token)


@commands.command()
def account(
    owner: Annotated[str, typer.Argument(help="Whose: account, or account:user.")],
    exempt: Annotated[bool, typer.Option("--exempt/--paying", help="Whether its jobs cost nothing.")],
    note: Note = "",
    key: Key = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Say whether an owner pays for jobs; as an administrator."""
    from imagemill.cli.client import segment

    body = {"exempt": exempt, "note": note}
    out, path = Printer(as_json), f"accounts/{segment(owner)}"
    _post(path, body, key, out, url, token, method="PUT")
    out.say(f"{owner} pays nothing" if exempt else f"{owner} pays for its jobs")


def price(
    recipe: Annotated[str, typer.Option("--recipe", help="Which recipe.")] = "textToImage",
    given: Annotated[
        list[str] | None,
        typer.Option("--set", help="width, height, steps, quantity or backend: --set width=1024."),
    ] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Say what pictures of a recipe cost."""
    from imagemill.cli.client import Client

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.get("/api/v1/prices", recipe=recipe, **_settings(given or []))
        if as_json:
            out.json(body)
        else:
            free = "" if body["charged"] else "; jobs are free here"
            out.say(f"{body['estimate']:g} credits{free}")


_SIZES = ("width", "height", "steps", "quantity", "backend")


def _settings(given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or name not in _SIZES:
            raise CliError(f"--set: {text!r} should be one of {', '.join(_SIZES)}, =, a value", UNUSABLE)
        found[name] = value
    return found


def _post(
    path: str,
    body: dict[str, Any],
    key: str | None,
    out: Printer,
    url: str | None,
    token: str,
    *,
    method: str = "POST",
) -> None:
    import uuid

    from imagemill.cli.client import Client

    with out.reporting(), Client(url, token) as client:
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        answer = client.call(method, f"/api/v1/credits/{path}", json=body, headers=headers)
        if out.as_json:
            out.json(answer)
            return
        for entry in answer["entries"]:
            out.say(f"{entry['owner']}: {entry['available']:+g}, now {entry['balance']:g} available")


def _table(entries: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("NUMBER", "AT", "KIND", "AVAILABLE", "HELD", "BALANCE", "JOB", "BY", "NOTE"):
        table.add_column(name, overflow="fold")
    for entry in entries:
        changes = (f"{entry['available']:+g}", f"{entry['held']:+g}", f"{entry['balance']:g}")
        named = (entry["job"] or "", entry["actor"], entry["note"])
        table.add_row(str(entry["number"]), entry["at"][:19], entry["kind"], *changes, *named)
    return table
