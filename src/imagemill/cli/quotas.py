"""``imagemill limits``: what owners may ask for."""

from typing import Annotated, Any

import typer

from imagemill.cli.output import TOKEN, UNUSABLE, CliError, Json, Printer, Token, Url

commands = typer.Typer(help="Limits of owners: show, set.", no_args_is_help=True)


@commands.command()
def show(
    owner: Annotated[str | None, typer.Argument(help="For administrators. Default: oneself.")] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Show what an owner may ask for, and what is used of it."""
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        _say(out, client.get(f"/api/v1/limits/{segment(owner)}" if owner else "/api/v1/limits"))


@commands.command("set")
def set_(
    owner: Annotated[str, typer.Argument(help="Whose limits: account, or account:user.")],
    limits: Annotated[
        list[str] | None,
        typer.Argument(
            help="Such as jobs=20 requests=none cooldown:comfy=5 daily:comfy=9; none at all: as the settings."
        ),
    ] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Give an owner limits of its own, in place of all it had."""
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = {"limits": dict(_limit(text) for text in limits or [])}
        _say(out, client.call("PUT", f"/api/v1/limits/{segment(owner)}", json=body))


def _limit(text: str) -> tuple[str, float | None]:
    kind, separator, value = text.rpartition("=")
    if separator and value.lower() == "none":
        return kind, None
    try:
        return kind, float(value)
    except ValueError:
        raise CliError(f"{text!r} should be a limit, =, and a number or none", UNUSABLE) from None


def _say(out: Printer, body: dict[str, Any]) -> None:
    if out.as_json:
        out.json(body)
        return
    for kind, amount in body["limits"].items():
        used = f", {body['used'][kind]:g} used" if kind in body["used"] else ""
        own = " (its own)" if kind in body["own"] else ""
        out.say(f"{kind:<20}{'none' if amount is None else f'{amount:g}'}{used}{own}")
    if not body["enforced"]:
        out.say("nobody is held to limits here; IMAGEMILL_QUOTA__ENABLED=true does it")
