"""``imagemill`` with all its commands.

Heavy imports happen inside the commands, so that ``--help`` is fast.
"""

import sys

import typer

from imagemill.cli import (
    artifact_commands,
    backup,
    demo,
    doctor,
    feed_display,
    forecast,
    jobs,
    keys,
    maintenance,
    make,
    models,
    nodes,
    operations,
    pauses,
    plugin_list,
    quotas,
    resources,
    serve,
    session_list,
    settings,
    simulator,
    stats,
    users,
    webhooks,
    worker_list,
    workflows,
)
from imagemill.cli.credits import commands as credit_commands
from imagemill.cli.credits import price
from imagemill.cli.output import UNUSABLE, print_error
from imagemill.products.base import BrokenPlugin, installed_products

app = typer.Typer(
    name="imagemill",
    help="A self-hosted image-generation orchestrator: durable jobs, any client, any backend.",
    epilog="First steps: imagemill. All settings: imagemill settings.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_given: bool) -> None:
    if is_given:
        import imagemill

        typer.echo(f"imagemill {imagemill.__version__}")
        raise typer.Exit


_FIRST_STEPS = """
  Imagemill {version}: image generation with a durable queue, for any client and any backend

  imagemill demo                          a first picture in seconds, without a GPU
  imagemill make "a fox in the snow"      a picture from a prompt, saved as a file
  imagemill serve                         the server, on http://127.0.0.1:8700

  On your own GPU, with the server running:
  imagemill nodes add attic http://127.0.0.1:8188
  imagemill models list

  imagemill --help                        all commands
"""


@app.callback()
def _root(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_print_version, is_eager=True
    ),
) -> None:
    """A self-hosted image-generation orchestrator: durable jobs, any client, any backend."""
    if context.invoked_subcommand is None:
        import imagemill

        typer.echo(_FIRST_STEPS.format(version=imagemill.__version__))


def _keep_former_names(kept: typer.Typer, moved: typer.Typer) -> None:
    """Keep the former ``imagemill models batch`` and others, hidden, where no other command has the name."""
    names = {command.name for command in kept.registered_commands}
    for command in moved.registered_commands:
        name = command.name or (command.callback.__name__ if command.callback else "")
        if name not in names and command.callback is not None:
            kept.command(name, hidden=True)(command.callback)


SERVE, CLIENT, ADMIN = "Run Imagemill", "Use a server", "Administer an installation"
app.command(rich_help_panel=SERVE)(demo.demo)
app.command(rich_help_panel=SERVE)(make.make)
app.command(rich_help_panel=SERVE)(serve.serve)
app.command(rich_help_panel=SERVE)(serve.api)
app.command(rich_help_panel=SERVE)(serve.scheduler)
app.command(rich_help_panel=SERVE)(serve.worker)
app.command(rich_help_panel=SERVE)(serve.generator)
app.add_typer(jobs.commands, name="jobs", rich_help_panel=CLIENT)
jobs.commands.command("bulk")(operations.bulk)
jobs.commands.command("priority")(operations.priority)
app.add_typer(artifact_commands.commands, name="artifacts", rich_help_panel=CLIENT)
jobs.commands.command()(forecast.forecast)
jobs.commands.command()(forecast.placement)
nodes.commands.command("models")(forecast.node_models)
app.add_typer(operations.commands, name="operations", rich_help_panel=CLIENT)
app.add_typer(pauses.commands, name="pauses", rich_help_panel=CLIENT)
app.add_typer(nodes.commands, name="nodes", rich_help_panel=CLIENT)
app.add_typer(simulator.commands, name="simulator", rich_help_panel=CLIENT)
app.add_typer(worker_list.commands, name="workers", rich_help_panel=CLIENT)
app.add_typer(models.commands, name="models", rich_help_panel=CLIENT)
app.add_typer(resources.commands, name="resources", rich_help_panel=CLIENT)
app.add_typer(workflows.commands, name="workflows", rich_help_panel=CLIENT)
try:
    _products = installed_products()
except BrokenPlugin as _error:
    # The other commands remain: `plugins list` shows what is wrong.
    print_error(str(_error))
    _products = ()
for _product in _products:
    for _name, _commands in _product.commands().items():
        app.add_typer(_commands, name=_name, rich_help_panel=CLIENT)
        if _name == "library":
            _keep_former_names(models.commands, _commands)
app.add_typer(webhooks.commands, name="webhooks", rich_help_panel=CLIENT)
app.add_typer(quotas.commands, name="limits", rich_help_panel=CLIENT)
app.add_typer(credit_commands, name="credits", rich_help_panel=CLIENT)
app.command(rich_help_panel=CLIENT)(price)
app.command(rich_help_panel=CLIENT)(stats.stats)
app.command(rich_help_panel=CLIENT)(maintenance.health)
app.command(rich_help_panel=CLIENT)(feed_display.checklist)
app.command(rich_help_panel=ADMIN)(doctor.doctor)
app.add_typer(keys.commands, name="keys", rich_help_panel=ADMIN)
app.add_typer(users.commands, name="users", rich_help_panel=ADMIN)
app.add_typer(session_list.commands, name="sessions", rich_help_panel=ADMIN)
app.command(rich_help_panel=ADMIN)(maintenance.migrate)
app.command(rich_help_panel=ADMIN)(backup.backup)
app.add_typer(plugin_list.commands, name="plugins", rich_help_panel=ADMIN)
app.add_typer(settings.commands, name="settings", rich_help_panel=ADMIN)


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        # Where the terminal's encoding lacks a character, print a question mark.
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
    try:
        app()
    except BrokenPlugin as error:
        print_error(str(error))
        sys.exit(UNUSABLE)
    except KeyboardInterrupt:
        print_error("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has closed the pipe, as `head` does.
        sys.stderr.close()
        sys.exit(141)
