"""``imagemill plugins``: the recipes, backends, API modules and products that are installed."""

import typer

from imagemill.cli.output import REFUSED, Json, Printer, table_of

commands = typer.Typer(help="Installed plug-ins.", no_args_is_help=True)


@commands.callback()
def plugins() -> None:
    """Installed plug-ins."""


@commands.command("list")
def list_(
    every: bool = typer.Option(False, "--all", help="Show the built-in components as well."),
    as_json: Json = False,
) -> None:
    """List the plug-ins of other packages. Exit status 1 if one cannot be loaded."""
    from imagemill.bootstrap.plugins import installed_plugins

    out = Printer(as_json)
    found = [
        each for each in installed_plugins() if every or each.problem or each.distribution != "imagemill"
    ]
    rows = [
        {
            "kind": each.kind,
            "name": each.name,
            "package": f"{each.distribution} {each.version}".strip(),
            "target": each.target,
            "problem": each.problem,
        }
        for each in found
    ]
    if as_json:
        out.json({"items": rows})
    elif rows:
        out.say(table_of(rows))
    else:
        out.say("no plug-ins of other packages are installed; --all shows the built-in components")
    raise typer.Exit(REFUSED if any(each.problem for each in found) else 0)
