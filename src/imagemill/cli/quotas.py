"""``imagemill limits``: the limits of owners."""

from typing import Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command, quote_segment
from imagemill.cli.output import UNUSABLE, CliError

commands = typer.Typer(help="Limits of owners: show, set.", no_args_is_help=True)


@commands.command()
@client_command
def show(
    client: Client,
    owner: Annotated[
        str | None, typer.Argument(help="Another owner, for administrators. Default: yourself.")
    ] = None,
) -> Reply:
    """Show an owner's limits, and how much of each is used."""
    body = client.get(f"/api/v1/limits/{quote_segment(owner)}" if owner else "/api/v1/limits")
    return body, _lines(body)


@commands.command("set")
@client_command
def set_(
    client: Client,
    owner: Annotated[str, typer.Argument(help="The owner: account, or account:user.")],
    limits: Annotated[
        list[str] | None,
        typer.Argument(
            help="Such as jobs=20 requests=none cooldown:comfy=5 daily:comfy=9. "
            "Without any, the limits of the settings apply."
        ),
    ] = None,
) -> Reply:
    """Replace an owner's own limits."""
    limit_values = dict(_parse_limit(text) for text in limits or [])
    body = client.put(f"/api/v1/limits/{quote_segment(owner)}", {"limits": limit_values})
    return body, _lines(body)


def _parse_limit(text: str) -> tuple[str, float | None]:
    kind, separator, value = text.rpartition("=")
    if separator and value.lower() == "none":
        return kind, None
    try:
        return kind, float(value)
    except ValueError:
        raise CliError(
            f"{text!r} should be LIMIT=VALUE, where the value is a number or none", UNUSABLE
        ) from None


def _lines(body: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for kind, amount in body["limits"].items():
        used = f", {body['used'][kind]:g} used" if kind in body["used"] else ""
        own = " (its own)" if kind in body["own"] else ""
        lines.append(f"{kind:<20}{'none' if amount is None else f'{amount:g}'}{used}{own}")
    if not body["enforced"]:
        lines.append("limits are off on this server; IMAGEMILL_QUOTA__ENABLED=true enforces them")
    return lines
