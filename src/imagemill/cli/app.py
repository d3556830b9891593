"""``imagemill`` with all its commands, each loaded when it is called or described.

Heavy imports happen inside the commands, so that the help of each is fast.
"""

import sys
from collections.abc import Callable, Iterator, MutableMapping
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from imagemill.cli.command_table import CLIENT, COMMANDS, EPILOG, TITLE, VERSION_HELP

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


class _Commands(MutableMapping[str, Any]):
    """The commands by name, with those of products. A command's module is imported when it is looked up."""

    def __init__(self) -> None:
        self._added: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name in self._added:
            return self._added[name]
        if name in COMMANDS:
            return load_command(name)
        return _load_group_of_product(name)

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys((*COMMANDS, *_product_groups(), *self._added))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __setitem__(self, name: str, command: Any) -> None:
        self._added[name] = command

    def __delitem__(self, name: str) -> None:
        del self._added[name]


class _Root(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()


@cache
def load_command(name: str) -> Any:
    entry = COMMANDS[name]
    found = _imported(entry.target)
    for further, target in entry.further:
        found.command(further)(_imported(target))
    if name == "models" and (library := _product_groups().get("library")) is not None:
        _keep_former_names(found, library)
    return _click_command(name, found, entry.panel)


@cache
def _load_group_of_product(name: str) -> Any:
    return _click_command(name, _product_groups()[name], CLIENT)


def _imported(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(f"imagemill.cli.{module}"), name)


def _click_command(name: str, found: typer.Typer | Callable[..., Any], panel: str) -> Any:
    holder = typer.Typer(add_completion=False)
    holder.callback()(lambda: None)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name, rich_help_panel=panel)
    else:
        holder.command(name, rich_help_panel=panel)(found)
    group: Any = typer.main.get_command(holder)
    return group.commands[name]


@cache
def _product_groups() -> dict[str, typer.Typer]:
    """Return the groups of commands of the installed products, by name."""
    from imagemill.products.base import BrokenPlugin, installed_products

    try:
        products = installed_products()
    except BrokenPlugin as error:
        from imagemill.cli.output import print_error

        # The other commands remain: `plugins list` shows what is wrong.
        print_error(str(error))
        return {}
    return {name: group for product in products for name, group in product.commands().items()}


def _keep_former_names(kept: typer.Typer, moved: typer.Typer) -> None:
    """Keep the former ``imagemill models batch`` and others, hidden, where no other command has the name."""
    names = {command.name for command in kept.registered_commands}
    for command in moved.registered_commands:
        name = command.name or (command.callback.__name__ if command.callback else "")
        if name not in names and command.callback is not None:
            kept.command(name, hidden=True)(command.callback)


app = typer.Typer(
    name="imagemill",
    cls=_Root,
    help=TITLE,
    epilog=EPILOG,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_given: bool) -> None:
    if is_given:
        import imagemill

        typer.echo(f"imagemill {imagemill.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", help=VERSION_HELP, callback=_print_version, is_eager=True
    ),
) -> None:
    if context.invoked_subcommand is None:
        import imagemill

        typer.echo(_FIRST_STEPS.format(version=imagemill.__version__))


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        # Where the terminal's encoding lacks a character, print a question mark.
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
    try:
        app()
    except KeyboardInterrupt:
        from imagemill.cli.output import print_error

        print_error("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has closed the pipe, as `head` does.
        sys.stderr.close()
        sys.exit(141)
    except Exception as error:
        _exit_if_a_plugin_is_broken(error)
        raise


def _exit_if_a_plugin_is_broken(error: Exception) -> None:
    module = sys.modules.get("imagemill.products.base")
    if module is not None and isinstance(error, module.BrokenPlugin):
        from imagemill.cli.output import UNUSABLE, print_error

        print_error(str(error))
        sys.exit(UNUSABLE)
