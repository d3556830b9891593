"""``imagemill sessions``: where an account is signed in to the console, and links that sign in once."""

from typing import Annotated

import typer

from imagemill.cli.client import Client, Reply, client_command, quote_segment
from imagemill.cli.output import DataDir, Json, OtherOwner, Printer, load_settings, table_of

commands = typer.Typer(help="Sign-ins to the console: list, end, link.", no_args_is_help=True)
_PATH = "/api/v1/sessions"


@commands.command("list")
@client_command
def list_(client: Client, owner: OtherOwner = None) -> Reply:
    """List where your account is signed in to the console."""
    body = client.get(_PATH, **({"owner": owner} if owner else {}))
    rows = [
        {
            "id": session["id"],
            "with": session["credential"] or "password",
            "rights": "read-only" if session["readOnly"] else "all",
            "address": session["address"],
            "browser": session["browser"][:40],
            "used": session["usedAt"],
            "expires": session["expiresAt"],
        }
        for session in body["items"]
    ]
    return body, table_of(rows) if rows else "nobody is signed in to the console"


@commands.command()
@client_command
def end(
    client: Client,
    session: Annotated[str, typer.Argument(help="The id of the session.", metavar="ID")],
    owner: OtherOwner = None,
) -> Reply:
    """End a session: its browser has to sign in again."""
    query = f"?owner={quote_segment(owner)}" if owner else ""
    client.delete(f"{_PATH}/{quote_segment(session)}{query}")
    return {"ended": session}, f"ended {session}"


@commands.command()
def link(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Make a link that signs in to the console once, as an administrator; uses the database, needs no key."""
    out = Printer(as_json)
    with out.reporting():
        from imagemill.bootstrap import build
        from imagemill.cli.keys import record_audit
        from imagemill.cli.startup import open_migrated_stores, sign_in_link

        settings = load_settings(data_dir=data_dir)
        with open_migrated_stores(settings) as stores:
            code = build.browser_sessions(settings, stores.database).link(settings.owner)
            record_audit(stores, "sessions link", settings.owner)
        address = sign_in_link(build.address(settings), code)
        if as_json:
            out.json({"url": address})
        else:
            out.say(address)
            out.say("It works once, within 10 minutes.")
