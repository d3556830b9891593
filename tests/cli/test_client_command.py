"""`client_command`: what a decorated function gets, and how its result is printed."""

import json
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.testing import CliRunner, Result

from imagemill.cli.client import Client, Reply, client_command
from imagemill.cli.output import UNUSABLE, CliError, Printer

URL = "http://127.0.0.1:1"


def ask(function: Any, *arguments: str) -> Result:
    commands = typer.Typer()
    commands.command()(client_command(function))
    return CliRunner().invoke(commands, [*arguments, "--url", URL, "--token", "a-key"])


def greet(client: Client, name: Annotated[str, typer.Argument()], loud: bool = False) -> Reply:
    """Greet somebody."""
    token = client.http.headers["Authorization"]
    text = Text(f"hello {name}")
    return {"name": name, "url": client.url, "token": token}, [text, "[loud]" if loud else "quiet"]


def test_a_reply_is_text_or_json():
    result = ask(greet, "ann", "--loud")
    assert (result.exit_code, result.stdout) == (0, "hello ann\n[loud]\n")
    result = ask(greet, "ann", "--json")
    assert json.loads(result.stdout) == {"name": "ann", "url": URL, "token": "Bearer a-key"}


def test_its_own_parameters_come_before_those_of_every_client():
    commands = typer.Typer()
    commands.command()(client_command(greet))
    command = typer.main.get_command(commands)
    assert [parameter.name for parameter in command.params[:5]] == ["name", "loud", "as_json", "url", "token"]
    assert command.help == "Greet somebody."


def test_an_error_is_a_line_or_json_and_the_exit_status():
    def fail(client: Client) -> Reply:
        raise CliError("wrong", UNUSABLE, details=("more",))

    result = ask(fail)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: wrong\n  more\n"
    result = ask(fail, "--json")
    assert (result.exit_code, result.stderr) == (2, "")
    assert json.loads(result.stdout) == {"error": "wrong", "details": ["more"]}


def test_a_command_may_print_itself_and_choose_its_exit_status():
    def stream(client: Client, out: Printer) -> None:
        for number in range(2):
            out.json(number) if out.as_json else out.say(f"line {number}")
        raise typer.Exit(3)

    result = ask(stream)
    assert (result.exit_code, result.stdout) == (3, "line 0\nline 1\n")
    assert ask(stream, "--json").stdout == "0\n1\n"
