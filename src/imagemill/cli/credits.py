"""``imagemill credits`` and ``imagemill price``: balances, payments and prices."""

from typing import Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command, parse_response, quote_segment
from imagemill.cli.output import UNUSABLE, CliError, OtherOwner, make_table, print_file

commands = typer.Typer(
    help="Credits: balance, statement, grant, transfer, account (who pays).", no_args_is_help=True
)

Amount = Annotated[float, typer.Argument(help="Credits, with at most three decimals.")]
Note = Annotated[str, typer.Option("--note", help="A text that is stored with the entry.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--key", help="Idempotency key: a repeated request with this key has no effect. Default: random."
    ),
]


@commands.command()
@client_command
def balance(client: Client, owner: OtherOwner = None) -> Reply:
    """Show the credits that are available and those held for unfinished jobs."""
    body = client.get("/api/v1/credits", **({"owner": owner} if owner else {}))
    exempt = ", pays nothing" if body["exempt"] else ""
    lines = [f"{body['owner']}: {body['available']:g} available, {body['held']:g} held{exempt}"]
    if not body["charged"]:
        lines.append("jobs are free on this server; IMAGEMILL_CREDITS__ENABLED=true charges for them")
    return body, lines


@commands.command()
@client_command
def statement(
    client: Client,
    owner: OtherOwner = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=500, help="The largest number of entries to show.")
    ] = 50,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all entries as CSV.")] = False,
) -> Reply | None:
    """Show the entries of the ledger, newest first."""
    query: dict[str, Any] = {"owner": owner} if owner else {}
    if as_csv:
        response = client.http.get("/api/v1/credits/statement", params={**query, "format": "csv"})
        if not response.is_success:
            parse_response(response)
        print_file(response.text)
        return None
    body = client.get("/api/v1/credits/statement", limit=limit, **query)
    return body, _table(body["items"]) if body["items"] else "there are no entries"


@commands.command()
@client_command
def grant(
    client: Client,
    owner: Annotated[str, typer.Argument(help="The owner that gets the credits.")],
    amount: Amount,
    note: Note = "",
    key: Key = None,
) -> Reply:
    """Give credits to an owner; for administrators. `-- -5` takes five away."""
    body = _write(client, "POST", "grants", {"owner": owner, "amount": amount, "note": note}, key)
    return body, _entry_lines(body)


@commands.command()
@client_command
def transfer(
    client: Client,
    sender: Annotated[str, typer.Argument(help="The owner that gives the credits.", metavar="FROM")],
    recipient: Annotated[
        str, typer.Argument(help="The owner that gets them: account, or account:user.", metavar="TO")
    ],
    amount: Amount,
    note: Note = "",
    key: Key = None,
) -> Reply:
    """Move credits between an account and its end users; administrators between any two owners."""
    fields = {"from": sender, "to": recipient, "amount": amount, "note": note}
    body = _write(client, "POST", "transfers", fields, key)
    return body, _entry_lines(body)


@commands.command()
@client_command
def account(
    client: Client,
    owner: Annotated[str, typer.Argument(help="The owner: account, or account:user.")],
    exempt: Annotated[bool, typer.Option("--exempt/--paying", help="Whether the owner's jobs are free.")],
    note: Note = "",
    key: Key = None,
) -> Reply:
    """Set whether an owner pays for jobs; for administrators."""
    fields = {"exempt": exempt, "note": note}
    body = _write(client, "PUT", f"accounts/{quote_segment(owner)}", fields, key)
    outcome = f"{owner} pays nothing" if exempt else f"{owner} pays for its jobs"
    return body, [*_entry_lines(body), outcome]


@client_command
def price(
    client: Client,
    recipe: Annotated[str, typer.Option("--recipe", help="The recipe of the job.")] = "textToImage",
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="width, height, steps, quantity or backend of the job, such as width=1024; may be repeated.",
        ),
    ] = None,
) -> Reply:
    """Show the price of a job."""
    body = client.get("/api/v1/prices", recipe=recipe, **_parse_parameters(given or []))
    free = "" if body["charged"] else "; jobs are free on this server"
    return body, f"{body['estimate']:g} credits{free}"


_PARAMETERS = ("width", "height", "steps", "quantity", "backend")


def _parse_parameters(given: list[str]) -> dict[str, str]:
    parsed: dict[str, str] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or name not in _PARAMETERS:
            names = ", ".join(_PARAMETERS)
            raise CliError(f"--set: {text!r} should be NAME=VALUE with a NAME of {names}", UNUSABLE)
        parsed[name] = value
    return parsed


def _write(client: Client, method: str, path: str, fields: dict[str, Any], key: str | None) -> Any:
    import uuid

    headers = {"Idempotency-Key": key or str(uuid.uuid4())}
    return client.call(method, f"/api/v1/credits/{path}", json=fields, headers=headers)


def _entry_lines(body: dict[str, Any]) -> list[str]:
    return [
        f"{entry['owner']}: {entry['available']:+g}, now {entry['balance']:g} available"
        for entry in body["entries"]
    ]


def _table(entries: list[dict[str, Any]]) -> Any:
    table = make_table("NUMBER", "AT", "KIND", "AVAILABLE", "HELD", "BALANCE", "JOB", "BY", "NOTE")
    for entry in entries:
        changes = (f"{entry['available']:+g}", f"{entry['held']:+g}", f"{entry['balance']:g}")
        named = (entry["job"] or "", entry["actor"], entry["note"])
        table.add_row(str(entry["number"]), entry["at"][:19], entry["kind"], *changes, *named)
    return table
