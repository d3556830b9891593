"""``imagemill settings``: the settings that hold, where each comes from, and what each is for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli.output import REFUSED, CliError, Json, Printer, Profile, print_warning, read_settings

if TYPE_CHECKING:
    from imagemill.bootstrap.settings_reference import Setting

commands = typer.Typer(
    help="Show the settings that differ from the defaults, and where each comes from.",
    invoke_without_command=True,
)


@commands.callback()
def settings(
    context: typer.Context,
    show_all: Annotated[bool, typer.Option("--all", help="Show all settings.")] = False,
    env: Annotated[
        bool, typer.Option("--env", help="Print a .env file with all settings and defaults.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page of the documentation.")
    ] = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Show the settings that differ from the defaults, and where each comes from.

    Settings are read from options, the environment, .env, imagemill.toml and the profile; the first one wins.
    --json prints the values of all settings. Secrets and passwords are hidden.
    """
    if context.invoked_subcommand is not None:
        return
    from imagemill.bootstrap import settings_reference

    out = Printer(as_json)
    with out.reporting():
        if env:
            typer.echo(settings_reference.env_file(), nl=False)
        elif markdown:
            typer.echo(settings_reference.markdown(), nl=False)
        elif as_json:
            out.json(settings_reference.as_json(read_settings(profile=profile)))
        else:
            _show(out, settings_reference.current(**_read(profile)), show_all=show_all)


@commands.command()
def explain(
    name: Annotated[str, typer.Argument(help="Name of a setting or a part of one, such as LEASE.")],
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Explain a setting: what it is for, its value and default, and how to set it.

    A part of a name finds all settings whose names hold it.
    """
    from imagemill.bootstrap import settings_reference

    out = Printer(as_json)
    with out.reporting():
        found = settings_reference.find(name, settings_reference.current(**_read(profile)))
        if isinstance(found, str):
            raise CliError(found, REFUSED)
        if as_json:
            out.json([settings_reference.setting_json(each) for each in found])
        for number, each in enumerate(found):
            if number:
                out.say()
            _explain(out, each)


def _read(profile: str | None) -> dict[str, Any]:
    """The settings with the options they were read with. Problems of theirs are warnings here."""
    from imagemill.bootstrap.settings_check import ignored_variables

    settings = read_settings(profile=profile)
    for line in (*ignored_variables(), *settings.profile_problems()):
        print_warning(line)
    return {"settings": settings, "options": {"profile": profile} if profile else {}}


def _show(out: Printer, found: Sequence["Setting"], *, show_all: bool) -> None:
    changed = [each for each in found if each.is_changed]
    for each in found if show_all else changed:
        note = f"{each.source}; default: {each.default or 'none'}" if each.is_changed else ""
        out.say(f"{each.name}={each.value}" + (f"    ({note})" if note else ""))
    if show_all:
        return
    if changed:
        out.say()
    count = "No setting differs" if not changed else f"{len(changed)} of {len(found)} settings differ"
    count = "1 setting differs" if len(changed) == 1 else count
    out.say(f"{count} from the defaults.")
    out.say("imagemill settings --all shows all; imagemill settings explain NAME explains one.")


def _explain(out: Printer, setting: "Setting") -> None:
    out.say(setting.name)
    out.say(f"  {setting.purpose}")
    rows = {
        "value": f"{setting.value or 'none'}  ({setting.source})",
        "default": setting.default or "none",
        "takes": setting.takes,
        "set it": f"{setting.name}=... (environment or .env), or in imagemill.toml: {setting.in_toml}",
        "also": ", ".join(setting.aliases),
    }
    for title, text in rows.items():
        if text:
            out.say(f"  {title:<8} {text}")
