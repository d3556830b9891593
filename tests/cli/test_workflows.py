"""``imagemill workflows`` against a real server."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from imagemill.cli.app import app
from tests.conftest import LORA, Server
from tests.graphs import MANIFEST, UI_FORMAT, graph, picture


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with graph.json, portrait.toml and face.png."""
    (tmp_path / "graph.json").write_text(json.dumps(graph()))
    (tmp_path / "ui.json").write_text(json.dumps(UI_FORMAT))
    (tmp_path / "portrait.toml").write_text(MANIFEST)
    (tmp_path / "face.png").write_bytes(picture())
    return tmp_path


@pytest.fixture(autouse=True)
def _no_workflows(server: Server) -> None:
    for kept in server.app.services.workflows.views():
        if not kept.is_built_in:
            server.app.services.workflows.remove(kept.workflow.name)


def ask(server: Server, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["workflows", *arguments, "--url", server.url])


def output_of(server: Server, *arguments: str) -> str:
    result = ask(server, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def answer(server: Server, *arguments: str) -> Any:
    return json.loads(output_of(server, *arguments, "--json"))


def add(server: Server, files: Path) -> str:
    manifest = ["--manifest", str(files / "portrait.toml")]
    return output_of(server, "add", "portrait", str(files / "graph.json"), *manifest)


def test_an_added_graph_tells_the_inputs_it_has(server: Server, files: Path) -> None:
    text = add(server, files)
    assert "added portrait, version 1" in text
    rows = {line.split()[0]: line for line in text.splitlines() if line}
    assert "(required)" in rows["prompt"]
    assert "1 .. 30" in rows["steps"]
    assert "imagemill workflows run portrait prompt='...' --wait" in text
    row = next(line for line in output_of(server, "list").splitlines() if line.startswith("portrait"))
    assert "prompt, steps, seed, model, image, loras" in row
    assert "sd-text" in output_of(server, "list")


def test_a_graph_needs_no_manifest(server: Server, files: Path) -> None:
    text = output_of(server, "add", "portrait", str(files / "graph.json"))
    assert "imagemill workflows run portrait prompt='...' --image image=FILE --wait" in text


def test_a_shown_manifest_can_be_edited_and_comes_back_as_it_is(server: Server, files: Path) -> None:
    add(server, files)
    shown = output_of(server, "show", "portrait")
    edited = files / "edited.toml"
    edited.write_text(shown.replace("default = 8", "default = 9"))
    assert "portrait is now at version" in output_of(server, "edit", "portrait", "--manifest", str(edited))
    assert output_of(server, "show", "portrait") == edited.read_text()
    assert "is unchanged at version" in output_of(server, "edit", "portrait", "--manifest", str(edited))
    numbers = [item["version"] for item in answer(server, "versions", "portrait")["items"]]
    assert numbers[0] == numbers[1] + 1
    assert output_of(server, "show", "portrait", "--version", str(numbers[1])) == shown


def test_a_manifest_makes_a_workflow_of_another_name(server: Server, files: Path) -> None:
    add(server, files)
    (files / "copy.toml").write_text(output_of(server, "show", "portrait"))
    assert answer(server, "add", "copy", "--manifest", str(files / "copy.toml"))["name"] == "copy"


def test_a_graph_is_exchanged(server: Server, files: Path) -> None:
    add(server, files)
    changed = graph()
    changed["2"]["inputs"]["text"] = "another text"
    (files / "new.json").write_text(json.dumps(changed))
    output_of(server, "edit", "portrait", "--graph", str(files / "new.json"))
    assert "another text" in output_of(server, "show", "portrait")


def test_a_run_is_followed_and_its_files_are_saved(server: Server, files: Path) -> None:
    add(server, files)
    text = output_of(
        server, "run", "portrait", "prompt=a face = a face", "steps=3", "seed=5",
        "--image", f"image={files / 'face.png'}", "--save", str(files / "out"),
    )  # fmt: skip
    assert " succeeded" in text
    (saved,) = (files / "out").iterdir()
    assert str(saved) in text
    with Image.open(saved) as image:
        assert image.format == "PNG"


def test_values_have_the_types_of_their_inputs(server: Server, files: Path) -> None:
    add(server, files)
    job = answer(
        server, "run", "portrait", "prompt=a face", "steps=3", f"image={files / 'face.png'}",
        "loras=a.safetensors*0.5", f"loras={LORA}", "--wait",
    )  # fmt: skip
    values = job["input"]["values"]
    assert job["status"] == "succeeded"
    assert (values["steps"], values["prompt"]) == (3, "a face")
    assert values["loras"] == [
        {"file": "a.safetensors", "strength": 0.5},
        {"air": LORA, "strength": 1.0},
    ]
    assert values["image"].startswith("inputs/")


def test_without_waiting_a_run_says_how_to_follow_it(server: Server, files: Path) -> None:
    add(server, files)
    assert "imagemill jobs watch" in output_of(server, "run", "portrait", "prompt=x")


def test_a_removed_workflow_is_gone(server: Server, files: Path) -> None:
    add(server, files)
    assert answer(server, "remove", "portrait") == {"removed": "portrait"}
    assert "portrait" not in output_of(server, "list")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["add", "x"], "nothing is given; name GRAPH, --manifest or both"),
        (["add", "x", "absent.json"], "absent.json cannot be read"),
        (["add", "x", "{files}/face.png"], "is not text"),
        (["add", "x", "{files}/portrait.toml"], "is not JSON"),
        (["edit", "portrait"], "nothing is given; name --manifest, --graph or both"),
        (["run", "portrait", "prompt"], "'prompt' should be an input and its value"),
        (
            ["run", "portrait", "colour=red"],
            "this workflow has no input colour; its inputs are prompt, steps",
        ),
        (["run", "portrait", "steps=many"], "steps: 'many' is not a whole number"),
        (["run", "portrait", "loras=a*b"], "loras: 'b' is not a strength"),
        (["run", "portrait", "--image", "steps=a.png"], "--image: steps is not a picture"),
        (["run", "portrait", "--image", "image=absent.png"], "absent.png cannot be read"),
        (
            ["run", "portrait", "--image", "image={files}/graph.json"],
            "graph.json is not a PNG, JPEG or WebP file",
        ),
    ],
)
def test_a_wrong_option_is_one_line_that_says_what_to_do(
    server: Server, files: Path, command: list[str], message: str
) -> None:
    add(server, files)
    result = ask(server, *(part.format(files=files) for part in command))
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["add", "x", "{files}/ui.json"], "Export (API)"),
        (["add", "sd-text", "{files}/graph.json"], "is built in"),
        (["run", "portrait", "steps=3"], "prompt: is required"),
        (["run", "portrait", "prompt=x", "steps=31"], "steps: 31 is above 30"),
        (["run", "nothing"], "there is no workflow 'nothing'; `imagemill workflows list` lists"),
    ],
)
def test_a_refusal_of_the_server_is_one_line(
    server: Server, files: Path, command: list[str], message: str
) -> None:
    add(server, files)
    result = ask(server, *(part.format(files=files) for part in command))
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_graph_is_added_as_people_have_it(server: Server, files: Path) -> None:
    text = json.dumps(graph())
    remembered = text.replace('"class_type"', '"is_changed": [NaN], "class_type"')
    envelope = json.dumps({"input": {"workflow": graph()}})
    for name, content in (
        ("marked", b"\xef\xbb\xbf" + text.encode()),
        ("remembered", remembered.encode()),
        ("envelope", envelope.encode()),
    ):
        (files / f"{name}.json").write_bytes(content)
        assert f"added {name}, version" in output_of(server, "add", name, str(files / f"{name}.json"))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_lacks_is_named_by_its_place(server: Server, files: Path, number: str) -> None:
    (files / "bad.json").write_text(f'{{"3": {{"class_type": "X", "inputs": {{"a": [1, {number}]}}}}}}')
    result = ask(server, "add", "bad", str(files / "bad.json"))
    assert result.exit_code == 2
    assert "at 3.inputs.a[1]" in result.output.replace("\n", " ")
