"""A workflow is written as text that a person edits, and read back with strict errors."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagemill.graphs.builtin import NAMES, builtin
from imagemill.graphs.errors import InvalidWorkflow
from imagemill.graphs.manifest import Input, Workflow, check, from_text, schema, to_text
from tests.workflows.build import simple_graph

PROMPT = Input("prompt", "text", (("6", "text"),), help="What the picture shows.", required=True)
STEPS = Input("steps", "integer", (("3", "steps"),), 20, 1, 50, help="Steps.")
SAMPLER = Input("sampler", "choice", (("3", "sampler_name"),), "euler", choices=("euler", "heun"))
SEED = Input("seed", "seed", (("3", "seed"),), 2**64 - 1)
LORAS = Input("loras", "loras", (("3", "model"), ("6", "clip"), ("7", "clip")))
FOX = Workflow(
    "fox", "A fox", 'Draws "foxes".\n', simple_graph(), (PROMPT, STEPS, SAMPLER, SEED, LORAS), ("9",)
)


def with_input(**changes: Any) -> Workflow:
    return replace(FOX, inputs=(replace(STEPS, **changes),))


def test_a_workflow_comes_back_from_its_text_as_it_was() -> None:
    assert from_text(to_text(FOX)) == FOX


def test_the_text_is_made_for_people() -> None:
    lines = to_text(FOX).splitlines()
    at = lines.index("[inputs.steps]")
    assert lines[at + 1 : at + 7] == [
        'type = "integer"',
        'targets = [["3", "steps"]]',
        "default = 20",
        "minimum = 1",
        "maximum = 50",
        'help = "Steps."',
    ]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.text(st.sampled_from("'\"\\\n\r\t\x00\x7f\u2028é{}"), max_size=20))
def test_any_text_survives_in_prompts_and_help(prompt: str, help_: str) -> None:
    graph = simple_graph()
    graph["6"]["inputs"]["text"] = prompt
    workflow = replace(FOX, graph=graph, inputs=(replace(PROMPT, help=help_, default=prompt),))
    assert from_text(to_text(workflow)) == workflow


@pytest.mark.parametrize("name", NAMES)
def test_the_built_in_workflows_are_sound_and_written_as_any_other(name: str) -> None:
    workflow = builtin(name)
    assert check(workflow) == ()
    assert from_text(to_text(workflow)) == workflow
    assert {"prompt", "model", "seed", "width", "height", "steps", "sampler", "loras"} <= {
        one.name for one in workflow.inputs
    }


def test_an_unknown_built_in_is_not_there() -> None:
    with pytest.raises(KeyError):
        builtin("sd-video")


@pytest.mark.parametrize(
    ("workflow", "said"),
    [
        (replace(FOX, name=""), "name: must be"),
        (replace(FOX, name="../x"), "name: must be"),
        (replace(FOX, outputs=("99",)), "outputs: the graph has no node 99"),
        (replace(FOX, inputs=(STEPS, STEPS)), "inputs.steps: occurs twice"),
        (with_input(name="Steps!"), "inputs.Steps!.name: must be lower-case letters"),
        (with_input(type="int"), "inputs.steps.type: is 'int'"),
        (with_input(targets=()), "inputs.steps.targets: names no input"),
        (with_input(targets=(("99", "steps"),)), "targets: the graph has no node 99"),
        (with_input(targets=(("3", "stops"),)), "node 3 (KSampler) has no input stops; it has model, seed"),
        (with_input(targets=(("3", "model"),)), "model is linked to another node"),
        (with_input(minimum=60), "minimum: 60 is above the maximum, 50"),
        (with_input(default=51), "default: 51 is above 50"),
        (with_input(default=1.5), "default: 1.5 is not a whole number"),
        (with_input(default="x"), "default: 'x' is not a number"),
        (with_input(type="choice", default=None), "choices: is empty"),
        (with_input(type="boolean", default=1), "default: 1 is neither true nor false"),
        (replace(FOX, inputs=(replace(SAMPLER, default="plms"),)), "default: 'plms' is none of: euler, heun"),
        (replace(FOX, inputs=(replace(SEED, default=-1),)), "default: -1 is below 0"),
        (replace(FOX, inputs=(replace(LORAS, targets=(("3", "seed"),)),)), "seed holds a value"),
        (replace(FOX, inputs=(replace(LORAS, targets=(("6", "clip"),)),)), "none takes a model"),
        (replace(FOX, inputs=(replace(LORAS, targets=(("3", "model"), ("8", "vae"))),)), "different models"),
    ],
)
def test_what_does_not_hold_together_is_told_by_field(workflow: Workflow, said: str) -> None:
    complaints = check(workflow)
    assert any(said in complaint for complaint in complaints), complaints
    with pytest.raises(InvalidWorkflow):
        from_text(to_text(workflow))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (("maximum = 50", "maximum ="), "is not TOML"),
        (("maximum = 50", "max = 50"), "inputs.steps.max: is unknown; it may have choices"),
        (("maximum = 50", 'maximum = "50"'), "inputs.steps.maximum: is '50', not a number"),
        (("required = true", "required = 1"), "inputs.prompt.required: is 1"),
        (('help = "Steps."', "help = 3"), "inputs.steps.help: is 3, not a text"),
        (('targets = [["3", "steps"]]', 'targets = ["3.steps"]'), "inputs.steps.targets: must be a list"),
        (('targets = [["3", "steps"]]', 'targets = [["3"]]'), "is no pair of node id and input"),
        (('choices = ["euler", "heun"]', 'choices = "euler"'), "inputs.sampler.choices: must be a list"),
        (('title = "A fox"', 'tile = "A fox"'), "tile: is unknown"),
        (('outputs = ["9"]', "outputs = [9]"), "outputs: must be a list of texts"),
        (("[inputs.steps]\n", "[inputs]\nsteps = 1\n[inputs.other]\n"), "inputs.steps: must be a table"),
        (('"class_type": "KSampler"', '"class": "KSampler"'), "graph.json: node '3' has no class_type"),
        (('"3": {', '"3": {{'), "graph.json: is not JSON"),
        (("json = '''", "jason = '''"), "graph.json: is missing"),
    ],
)
def test_a_slip_in_the_text_is_told_by_field(edit: tuple[str, str], said: str) -> None:
    text = to_text(FOX)
    assert edit[0] in text
    if edit[1].startswith("[inputs]"):
        text = to_text(with_input())
    with pytest.raises(InvalidWorkflow) as caught:
        from_text(text.replace(*edit))
    assert said in str(caught.value)


def test_the_schema_tells_types_ranges_choices_and_what_is_required() -> None:
    told = schema(FOX)
    assert told["required"] == ["prompt"]
    assert told["additionalProperties"] is False
    inputs = told["properties"]
    assert inputs["prompt"] == {"type": "string", "description": "What the picture shows."}
    assert inputs["steps"] == {
        "type": "integer", "minimum": 1, "maximum": 50, "default": 20, "description": "Steps.",
    }  # fmt: skip
    assert inputs["sampler"] == {"type": "string", "default": "euler", "enum": ["euler", "heun"]}
    assert (inputs["seed"]["minimum"], inputs["seed"]["maximum"]) == (0, 2**64 - 1)
    assert inputs["loras"]["items"]["properties"]["strength"]["default"] == 1
