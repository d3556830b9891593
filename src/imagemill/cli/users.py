"""``imagemill users``: accounts and the users who log in, in the database of the settings."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli.keys import format_time, parse_role, record_audit
from imagemill.cli.output import Create, DataDir, Json, Printer, load_settings, table_of

if TYPE_CHECKING:
    from imagemill.accounts.store import ChangeOwner, Owner
    from imagemill.config import Settings

commands = typer.Typer(
    help="Accounts and the users who log in. Uses the database of the settings; no server is needed.",
    no_args_is_help=True,
)

Account = Annotated[str, typer.Argument(help="The account.", metavar="OWNER")]
_SECRET = "env:VARIABLE, file:PATH or - (prompt)."  # noqa: S105 - help
_PROMPT = "-"
_MOST = 10_000
"""The largest number of rows that a list shows."""


@commands.command()
def create(
    email: Annotated[str, typer.Argument(help="The e-mail address to log in with.", metavar="EMAIL")],
    password: Annotated[
        str, typer.Option("--password", help=f"Password of the new user: {_SECRET}")
    ] = _PROMPT,
    role: Annotated[str, typer.Option("--role", help="user, viewer, operator or admin.")] = "user",
    owner: Annotated[
        str | None, typer.Option("--owner", help="Name of the account. Default: generated.")
    ] = None,
    create_: Create = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Create a user who logs in with e-mail address and password."""
    out = Printer(as_json)
    with out.reporting():
        from imagemill.accounts.passwords import check_password
        from imagemill.accounts.store import AddUser
        from imagemill.accounts.users import check_email, new_user
        from imagemill.cli.client import read_secret
        from imagemill.cli.startup import open_migrated_stores
        from imagemill.domain.access import check_account

        settings, chosen = load_settings(data_dir=data_dir), parse_role(role)
        with open_migrated_stores(settings, create=create_) as stores:
            address = check_email("EMAIL", email)
            name = check_account("--owner", owner) if owner is not None else None
            text = read_secret(password, "--password")
            check_password("--password", text, address)
            user = new_user(address, _hash(settings, text), name)
            stores.users.add(AddUser(user, chosen))
            record_audit(stores, "users create", user.owner)
        if as_json:
            out.json({"owner": user.owner, "email": address, "role": chosen.value})
        else:
            out.say(f"created {user.owner}, who logs in as {address}")


@commands.command()
def password(
    owner: Account,
    new: Annotated[str, typer.Option("--password", help=f"The new password: {_SECRET}")] = _PROMPT,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Set a user's password and end all its sessions."""
    out = Printer(as_json)
    with out.reporting():
        from imagemill.accounts.passwords import check_password
        from imagemill.accounts.store import ChangePassword
        from imagemill.cli.client import read_secret
        from imagemill.cli.startup import open_migrated_stores
        from imagemill.domain.clock import now_us

        settings = load_settings(data_dir=data_dir)
        with open_migrated_stores(settings) as stores:
            text = read_secret(new, "--password")
            check_password("--password", text, "")
            hash_ = _hash(settings, text)
            stores.users.change_password(ChangePassword(owner, hash_, now_us()))
            record_audit(stores, "users password", owner)
        if as_json:
            out.json({"owner": owner, "sessionsEnded": True})
        else:
            out.say(f"{owner} has a new password; its sessions are ended")


@commands.command("list")
def list_(
    parent: Annotated[str | None, typer.Option("--of", help="List the end users of this account.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List accounts, or the end users of one account."""
    out = Printer(as_json)
    with out.reporting():
        from imagemill.cli.startup import open_migrated_stores

        with open_migrated_stores(load_settings(data_dir=data_dir)) as stores:
            owners = stores.accounts.owners(parent=parent, limit=_MOST)
            emails = {user.owner: user.email for user, _ in stores.users.page("", _MOST)}
        rows = [_row(owner, emails.get(owner.id, "")) for owner in owners]
        if as_json:
            out.json({"items": rows})
        elif not rows:
            out.say("there are no accounts" if parent is None else f"{parent} has no end users")
        else:
            out.say(table_of(rows))


@commands.command()
def disable(owner: Account, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Disable an account: its keys and sessions are refused."""
    from imagemill.accounts.store import ChangeOwner
    from imagemill.domain.clock import now_us

    _change(ChangeOwner(owner, now_us(), disabled=True), "disable", "is disabled", data_dir, as_json)


@commands.command()
def enable(owner: Account, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Enable a disabled account."""
    from imagemill.accounts.store import ChangeOwner
    from imagemill.domain.clock import now_us

    _change(ChangeOwner(owner, now_us(), disabled=False), "enable", "is enabled", data_dir, as_json)


@commands.command()
def role(
    owner: Account,
    to: Annotated[str, typer.Argument(help="user, viewer, operator or admin.", metavar="ROLE")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Change an account's role; its keys keep at most the scopes they have."""
    from imagemill.accounts.store import ChangeOwner
    from imagemill.domain.clock import now_us

    with Printer(as_json).reporting():
        chosen = parse_role(to)
    change = ChangeOwner(owner, now_us(), role=chosen)
    _change(change, f"role {to}", f"now has the role {to}", data_dir, as_json)


@commands.command()
def weight(
    owner: Account,
    share: Annotated[
        float,
        typer.Argument(
            help="The account's weight; other accounts have 1.", metavar="SHARE", min=0.001, max=1000
        ),
    ],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Change an account's share of the nodes' time."""
    from imagemill.accounts.store import ChangeOwner
    from imagemill.domain.clock import now_us

    change = ChangeOwner(owner, now_us(), weight=share)
    _change(change, f"weight {share:g}", f"has the weight {share:g}", data_dir, as_json)


@commands.command()
def audit(
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=_MOST, help="The largest number of entries to show.")
    ] = 50,
    actor: Annotated[str | None, typer.Option("--actor", help="Only changes by this account.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show the audit log: who changed what, newest first."""
    out = Printer(as_json)
    with out.reporting():
        from imagemill.cli.startup import open_migrated_stores

        with open_migrated_stores(load_settings(data_dir=data_dir)) as stores:
            entries = stores.audit.page(None, limit, actor)
        rows = [
            {
                "at": format_time(entry.at),
                "actor": entry.actor,
                "credential": entry.credential,
                "action": entry.action,
                "target": entry.target,
                "detail": entry.detail,
                "address": entry.address,
            }
            for entry in entries
        ]
        if as_json:
            out.json({"items": rows})
        elif not rows:
            out.say("the audit log is empty")
        else:
            out.say(table_of(rows))


def _row(owner: "Owner", email: str) -> dict[str, Any]:
    return {
        "owner": owner.id,
        "role": owner.role.value,
        "email": email,
        "name": owner.name or "",
        "weight": owner.weight,
        "disabled": format_time(owner.disabled_at),
        "created": format_time(owner.created_at),
    }


def _change(change: "ChangeOwner", action: str, outcome: str, data_dir: DataDir, as_json: bool) -> None:
    out = Printer(as_json)
    with out.reporting():
        from imagemill.accounts.keys import Owners
        from imagemill.cli.startup import open_migrated_stores

        settings = load_settings(data_dir=data_dir)
        with open_migrated_stores(settings) as stores:
            changed = Owners(stores.accounts, lambda: None).change(change)
            found = stores.users.of(change.id)
            record_audit(stores, f"users {action}", change.id)
        if as_json:
            out.json(_row(changed, found[0].email if found else ""))
        else:
            out.say(f"{change.id} {outcome}; running servers apply it within {settings.auth.remember_s:g} s")


def _hash(settings: "Settings", text: str) -> str:
    from imagemill.accounts.passwords import Passwords

    pool = Passwords(settings.auth.password_memory_mb)
    try:
        return pool.hash(text).result()
    finally:
        pool.close()
