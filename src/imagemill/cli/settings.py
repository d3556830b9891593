"""``imagemill settings``: every setting, as it is, as a ``.env`` file or as a page of the documentation."""

from typing import Annotated

import typer

from imagemill.cli.output import Json, Printer, load_settings


def settings(
    env: Annotated[bool, typer.Option("--env", help="As a .env file with every default.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As the page of the documentation.")] = False,
    as_json: Json = False,
) -> None:
    """Show every setting with its value here; --env and --markdown write them for files."""
    from imagemill.cli import settings_reference

    out = Printer(as_json)
    with out.reporting():
        if env:
            typer.echo(settings_reference.env_file(), nl=False)
        elif markdown:
            typer.echo(settings_reference.markdown(), nl=False)
        elif as_json:
            out.json(load_settings().model_dump(mode="json"))
        else:
            described = settings_reference.described()
            values = settings_reference.values(load_settings())
            for each in described:
                value = values[each.name]
                out.say(
                    f"{each.name}={value}"
                    + ("" if value == each.default else f"    (default: {each.default})")
                )
