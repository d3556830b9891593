"""``imagemill users``: accounts and who logs in, on the database of the settings itself."""

from typing import TYPE_CHECKING, Annotated

import typer

from imagemill.cli.keys import moment, note, role_of, table
from imagemill.cli.output import DataDir, Json, Printer

if TYPE_CHECKING:
    from imagemill.accounts.store import ChangeOwner
    from imagemill.config import Settings

commands = typer.Typer(
    help="Accounts and who logs in. Works on the database of the settings; no server is needed.",
    no_args_is_help=True,
)

Account = Annotated[str, typer.Argument(help="The account.", metavar="OWNER")]
_SECRET = "env:VARIABLE, file:PATH or - (asked for)."  # noqa: S105 - help
_ASKED = "-"
_MOST = 10_000


@commands.command()
def create(
    email: Annotated[str, typer.Argument(help="The address to log in with.", metavar="EMAIL")],
    password: Annotated[str, typer.Option("--password", help=f"Of the new user: {_SECRET}")] = _ASKED,
    role: Annotated[str, typer.Option("--role", help="user, operator or admin.")] = "user",
    owner: Annotated[str | None, typer.Option("--owner", help="Name of the account; default: drawn.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a user who logs in by e-mail address and password."""
    out = Printer(as_json)
    with out.reporting():
        from imagemill.accounts.passwords import check_password
        from imagemill.accounts.store import AddUser
        from imagemill.accounts.users import check_email, new_user
        from imagemill.cli.client import secret
        from imagemill.cli.output import load_settings
        from imagemill.cli.startup import open_store
        from imagemill.domain.access import check_account

        settings, wanted = load_settings(data_dir=data_dir), role_of(role)
        with open_store(settings) as store:
            kept = check_email("EMAIL", email)
            name = check_account("--owner", owner) if owner is not None else None
            text = secret(password, "--password")
            check_password("--password", text, kept)
            user = new_user(kept, _hashed(settings, text), name)
            store.users.add(AddUser(user, wanted))
            note(store, "users create", user.owner)
        if as_json:
            out.json({"owner": user.owner, "email": kept, "role": wanted.value})
        else:
            out.say(f"made {user.owner}, who logs in as {kept}")


@commands.command()
def password(
    owner: Account,
    new: Annotated[str, typer.Option("--password", help=f"The new one: {_SECRET}")] = _ASKED,
    data_dir: DataDir = None,
) -> None:
    """Set a user's password; all its sessions end."""
    out = Printer()
    with out.reporting():
        from imagemill.accounts.passwords import check_password
        from imagemill.accounts.store import ChangePassword
        from imagemill.cli.client import secret
        from imagemill.cli.output import load_settings
        from imagemill.cli.startup import open_store
        from imagemill.domain.clock import now_us

        settings = load_settings(data_dir=data_dir)
        with open_store(settings) as store:
            text = secret(new, "--password")
            check_password("--password", text, "")
            hash_ = _hashed(settings, text)
            store.users.change_password(ChangePassword(owner, hash_, now_us()))
            note(store, "users password", owner)
        out.say(f"{owner} has a new password; its sessions are over")


@commands.command("list")
def list_(
    of: Annotated[str | None, typer.Option("--of", help="The end users of this account.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List accounts, or the end users of one."""
    out = Printer(as_json)
    with out.reporting():
        from imagemill.cli.output import load_settings
        from imagemill.cli.startup import open_store

        with open_store(load_settings(data_dir=data_dir)) as store:
            owners = store.accounts.owners(parent=of, limit=_MOST)
            emails = {user.owner: user.email for user, _ in store.users.page("", _MOST)}
        rows = [
            {
                "owner": owner.id,
                "role": owner.role.value,
                "email": emails.get(owner.id, ""),
                "name": owner.name or "",
                "weight": owner.weight,
                "disabled": moment(owner.disabled_at),
                "created": moment(owner.created_at),
            }
            for owner in owners
        ]
        if as_json:
            out.json({"items": rows})
        elif not rows:
            out.say("there are none")
        else:
            out.say(table(rows))


@commands.command()
def disable(owner: Account, data_dir: DataDir = None) -> None:
    """Refuse all keys and sessions of an account."""
    from imagemill.accounts.store import ChangeOwner
    from imagemill.domain.clock import now_us

    _change(ChangeOwner(owner, now_us(), disabled=True), "disable", "is disabled", data_dir)


@commands.command()
def enable(owner: Account, data_dir: DataDir = None) -> None:
    """Accept them again."""
    from imagemill.accounts.store import ChangeOwner
    from imagemill.domain.clock import now_us

    _change(ChangeOwner(owner, now_us(), disabled=False), "enable", "is enabled", data_dir)


@commands.command()
def role(
    owner: Account,
    to: Annotated[str, typer.Argument(help="user, operator or admin.", metavar="ROLE")],
    data_dir: DataDir = None,
) -> None:
    """Change what an account may do; its keys keep at most what they have."""
    with Printer().reporting():
        from imagemill.accounts.store import ChangeOwner
        from imagemill.domain.clock import now_us

        wanted = role_of(to)
        _change(ChangeOwner(owner, now_us(), role=wanted), f"role {to}", f"is {to} now", data_dir)


@commands.command()
def weight(
    owner: Account,
    share: Annotated[
        float, typer.Argument(help="Against 1 of others.", metavar="SHARE", min=0.001, max=1000)
    ],
    data_dir: DataDir = None,
) -> None:
    """Change an account's share of the nodes' time."""
    from imagemill.accounts.store import ChangeOwner
    from imagemill.domain.clock import now_us

    change = ChangeOwner(owner, now_us(), weight=share)
    _change(change, f"weight {share:g}", f"has the weight {share:g}", data_dir)


@commands.command()
def audit(
    limit: Annotated[int, typer.Option("--limit", min=1, max=_MOST, help="How many lines.")] = 50,
    actor: Annotated[str | None, typer.Option("--actor", help="Only what this account did.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show who changed what, the newest first."""
    out = Printer(as_json)
    with out.reporting():
        from imagemill.cli.output import load_settings
        from imagemill.cli.startup import open_store

        with open_store(load_settings(data_dir=data_dir)) as store:
            entries = store.audit.page(None, limit, actor)
        rows = [
            {
                "at": moment(entry.at),
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
            out.say("nothing was changed yet")
        else:
            out.say(table(rows))


def _change(change: "ChangeOwner", action: str, told: str, data_dir: DataDir) -> None:
    out = Printer()
    with out.reporting():
        from imagemill.accounts.keys import Owners
        from imagemill.cli.output import load_settings
        from imagemill.cli.startup import open_store

        settings = load_settings(data_dir=data_dir)
        with open_store(settings) as store:
            Owners(store.accounts, lambda: None).change(change)
            note(store, f"users {action}", change.id)
        out.say(f"{change.id} {told}; servers that run know within {settings.auth.remember_s:g} s")


def _hashed(settings: "Settings", text: str) -> str:
    from imagemill.accounts.passwords import Passwords

    pool = Passwords(settings.auth.password_memory_mb)
    try:
        return pool.hash(text).result()
    finally:
        pool.close()
