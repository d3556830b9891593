"""``imagemill keys``: API keys, in the database of the settings, as the first key is made without a key."""

from typing import TYPE_CHECKING, Annotated

import typer

from imagemill.cli.output import UNUSABLE, CliError, Create, DataDir, Json, Printer, load_settings, table_of

if TYPE_CHECKING:
    from imagemill.bootstrap.stores import Stores
    from imagemill.domain.access import Role

commands = typer.Typer(
    help="API keys: create, list, revoke. Uses the database of the settings; no server is needed.",
    no_args_is_help=True,
)

Owner = Annotated[str, typer.Option("--owner", help="The account of the key; created if it does not exist.")]
_ROLES = "user, viewer, operator or admin"


@commands.command()
def create(
    owner: Owner,
    role: Annotated[
        str | None, typer.Option("--role", help=f"Role of a new account: {_ROLES}. Default: user.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="A note of what the key is for.")] = "",
    scopes: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            help="A scope, such as jobs:read; may be repeated. Default: all scopes of the role but partner "
            "and books:unlock.",
        ),
    ] = None,
    service: Annotated[
        bool,
        typer.Option("--service", help="The key may act for end users, named by X-Imagemill-User."),
    ] = False,
    expires_days: Annotated[
        float | None,
        typer.Option(
            "--expires-days", min=0.001, help="Days after which the key expires. Default: it does not expire."
        ),
    ] = None,
    create_: Create = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Create a key and show it, only once."""
    out = Printer(as_json)
    with out.reporting():
        from imagemill.accounts.keys import KeyRequest, Keys, scopes_of
        from imagemill.cli.startup import open_migrated_stores

        settings = load_settings(data_dir=data_dir)
        with open_migrated_stores(settings, create=create_) as stores:
            is_first = not stores.accounts.has_credentials()
            _ensure_account(stores, owner, parse_role(role) if role else None)
            chosen = scopes_of("--scope", scopes) if scopes else None
            lifetime_s = expires_days * 86_400 if expires_days else None
            made = Keys(stores.accounts, lambda: None).make(
                KeyRequest(name[:200], chosen, service, lifetime_s), owner
            )
            record_audit(stores, "keys create", f"{owner}/{made.key.id}")
        if as_json:
            out.json({"id": made.key.id, "owner": owner, "scopes": sorted(made.key.scopes), "key": made.text})
            return
        out.say(made.text)
        out.say("It is not shown again. Send it as 'Authorization: Bearer <key>', or set IMAGEMILL_TOKEN.")
        if is_first and settings.auth.required != "always" and settings.auth.admin_key is None:
            out.say(
                "This is the first key: all servers on this database, running ones too, now require a key."
            )


@commands.command("list")
def list_(
    owner: Annotated[str | None, typer.Option("--owner", help="Only keys of this account.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List keys, without their secret part."""
    out = Printer(as_json)
    with out.reporting():
        from imagemill.cli.startup import open_migrated_stores
        from imagemill.domain.clock import now_us

        with open_migrated_stores(load_settings(data_dir=data_dir)) as stores:
            keys = stores.accounts.keys(owner)
        rows = [
            {
                "id": key.id,
                "owner": key.owner,
                "name": key.name,
                "state": _state(key.revoked_at, key.expires_at, now_us()),
                "service": key.is_service,
                "scopes": sorted(key.scopes),
                "created": format_time(key.created_at),
                "used": format_time(key.used_at),
            }
            for key in keys
        ]
        if as_json:
            out.json({"items": rows})
        elif not rows:
            out.say("no keys yet; make one: imagemill keys create --owner ops --role admin")
        else:
            out.say(table_of(rows))


@commands.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id: the part after im_.", metavar="ID")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Revoke a key; servers refuse it from then on."""
    out = Printer(as_json)
    with out.reporting():
        from imagemill.accounts.keys import Keys
        from imagemill.cli.startup import open_migrated_stores

        settings = load_settings(data_dir=data_dir)
        with open_migrated_stores(settings) as stores:
            revoked = Keys(stores.accounts, lambda: None).revoke(key)
            record_audit(stores, "keys revoke", f"{revoked.owner}/{key}")
        if as_json:
            out.json({"revoked": key, "owner": revoked.owner})
        else:
            out.say(
                f"revoked {key} of {revoked.owner}; running servers refuse it "
                f"within {settings.auth.remember_s:g} s"
            )


def _ensure_account(stores: "Stores", id_: str, role: "Role | None") -> None:
    """Create the account if it does not exist. Raises `CliError` if it exists with another role."""
    from imagemill.accounts.keys import Owners
    from imagemill.domain.access import Role

    account = stores.accounts.owner(id_)
    if account is None:
        Owners(stores.accounts, lambda: None).add(id_, role or Role.USER)
    elif role is not None and account.role is not role:
        raise CliError(
            f"{id_} exists already, with the role {account.role.value}; "
            f"to change it: imagemill users role {id_} {role.value}"
        )


def parse_role(text: str) -> "Role":
    from imagemill.domain.access import Role

    try:
        return Role(text)
    except ValueError:
        raise CliError(f"--role: {text!r} is not a role; write {_ROLES}", UNUSABLE) from None


def record_audit(stores: "Stores", action: str, target: str) -> None:
    """Record an action in the audit log, with the operating system's user."""
    import getpass

    from imagemill.accounts.audit import Audit

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = ""  # a container's user may have no name
    Audit(stores.audit).note("", "command line", action, target, f"by {user}" if user else "")


def format_time(instant_us: int | None) -> str:
    from imagemill.domain.clock import to_datetime

    return "" if instant_us is None else to_datetime(instant_us).strftime("%Y-%m-%d %H:%M")


def _state(revoked_at: int | None, expires_at: int | None, now: int) -> str:
    if revoked_at is not None:
        return "revoked"
    if expires_at is None:
        return "valid"
    return "expired" if expires_at <= now else f"until {format_time(expires_at)}"
