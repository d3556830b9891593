"""``imagemill keys``: on the database of the settings itself, as the first key is made without any key."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli.output import UNUSABLE, CliError, DataDir, Json, Printer

if TYPE_CHECKING:
    from imagemill.bootstrap.stores import Stores
    from imagemill.domain.access import Role

commands = typer.Typer(
    help="API keys: create, list, revoke. Works on the database of the settings; no server is needed.",
    no_args_is_help=True,
)

Owner = Annotated[str, typer.Option("--owner", help="The account it is for; made when it is not there.")]
_ROLES = "user, operator or admin"


@commands.command()
def create(
    owner: Owner,
    role: Annotated[
        str | None, typer.Option("--role", help=f"Role of a new account: {_ROLES}. Default: user.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What the key is for.")] = "",
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", help="What it may do, such as jobs:read; may be repeated. Default: all."),
    ] = None,
    service: Annotated[
        bool, typer.Option("--service", help="It may act for end users, named by X-Imagemill-User.")
    ] = False,
    expires_days: Annotated[
        float | None, typer.Option("--expires-days", min=0.001, help="Default: it does not expire.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a key and show it, once."""
    out = Printer(as_json)
    with out.reporting():
        from imagemill.accounts.keys import KeyRequest, Keys, scopes_of
        from imagemill.cli.output import load_settings
        from imagemill.cli.startup import open_store

        settings = load_settings(data_dir=data_dir)
        with open_store(settings) as store:
            was_open = not store.accounts.has_credentials()
            _ensure_account(store, owner, role_of(role) if role else None)
            wanted = scopes_of("--scope", scopes) if scopes else None
            life_s = expires_days * 86_400 if expires_days else None
            made = Keys(store.accounts, lambda: None).make(
                KeyRequest(name[:200], wanted, service, life_s), owner
            )
            note(store, "keys create", f"{owner}/{made.key.id}")
        if as_json:
            out.json({"id": made.key.id, "owner": owner, "scopes": sorted(made.key.scopes), "key": made.text})
            return
        out.say(made.text)
        out.say("It is not shown again. Send it as 'Authorization: Bearer <key>', or set IMAGEMILL_TOKEN.")
        if was_open and settings.auth.required == "auto" and settings.auth.admin_key is None:
            out.say(
                "It is the first one: from now on servers on this database ask every caller for a key, "
                "those that run as well."
            )


@commands.command("list")
def list_(
    owner: Annotated[str | None, typer.Option("--owner", help="Only this account's.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List keys: all but their secret part."""
    out = Printer(as_json)
    with out.reporting():
        from imagemill.cli.output import load_settings
        from imagemill.cli.startup import open_store
        from imagemill.domain.clock import now_us

        with open_store(load_settings(data_dir=data_dir)) as store:
            found = store.accounts.keys(owner)
        rows = [
            {
                "id": key.id,
                "owner": key.owner,
                "name": key.name,
                "state": _state(key.revoked_at, key.expires_at, now_us()),
                "service": key.is_service,
                "scopes": sorted(key.scopes),
                "created": moment(key.created_at),
                "used": moment(key.used_at),
            }
            for key in found
        ]
        if as_json:
            out.json({"items": rows})
        elif not rows:
            out.say("no keys yet; make one: imagemill keys create --owner ops --role admin")
        else:
            out.say(table(rows))


@commands.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id: the part after im_.", metavar="ID")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Refuse a key from now on."""
    out = Printer(as_json)
    with out.reporting():
        from imagemill.accounts.keys import Keys
        from imagemill.cli.output import load_settings
        from imagemill.cli.startup import open_store

        settings = load_settings(data_dir=data_dir)
        with open_store(settings) as store:
            revoked = Keys(store.accounts, lambda: None).revoke(key)
            note(store, "keys revoke", f"{revoked.owner}/{key}")
        if as_json:
            out.json({"revoked": key, "owner": revoked.owner})
        else:
            out.say(
                f"revoked {key} of {revoked.owner}; servers that run refuse it "
                f"within {settings.auth.remember_s:g} s"
            )


def _ensure_account(store: "Stores", id_: str, role: "Role | None") -> None:
    """Raises `CliError` for one that is there with another role: a key changes no role in passing."""
    from imagemill.accounts.keys import Owners
    from imagemill.domain.access import Role

    there = store.accounts.owner(id_)
    if there is None:
        Owners(store.accounts, lambda: None).add(id_, role or Role.USER)
    elif role is not None and there.role is not role:
        raise CliError(
            f"{id_} is there already, with the role {there.role.value}; "
            f"to change it: imagemill users role {id_} {role.value}"
        )


def role_of(text: str) -> "Role":
    from imagemill.domain.access import Role

    try:
        return Role(text)
    except ValueError:
        raise CliError(f"--role: {text!r} is no role; write {_ROLES}", UNUSABLE) from None


def note(store: "Stores", action: str, target: str, detail: str = "") -> None:
    """In the audit log, as done by whoever holds the database."""
    import getpass

    from imagemill.accounts.audit import Audit

    try:
        person = getpass.getuser()
    except (KeyError, OSError):
        person = ""  # a container's user may have no name
    Audit(store.audit).note("", "command line", action, target, detail or (f"by {person}" if person else ""))


def moment(instant_us: int | None) -> str:
    from imagemill.domain.clock import to_datetime

    return "" if instant_us is None else to_datetime(instant_us).strftime("%Y-%m-%d %H:%M")


def table(rows: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="dim")
    for name in rows[0]:
        shown.add_column(name.upper(), overflow="fold")
    for row in rows:
        shown.add_row(*(_cell(value) for value in row.values()))
    return shown


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, bool):
        return "yes" if value else ""
    return str(value)


def _state(revoked_at: int | None, expires_at: int | None, now: int) -> str:
    if revoked_at is not None:
        return "revoked"
    if expires_at is None:
        return "valid"
    return "expired" if expires_at <= now else f"until {moment(expires_at)}"
