"""The recipe ``preprocessImage``: a control picture of a picture, on the CPU or by a node pack."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from imagemill.domain.credits import Rate
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.domain.images import GraphSpec, TaskSpec
from imagemill.graphs.picture_graphs import PREPROCESSORS, PreprocessorOption, build_preprocessor
from imagemill.media.control_maps import KINDS
from imagemill.recipes.base import Plan, Recipe, ResourceResolver
from imagemill.recipes.tasks.simple import EXAMPLE_PICTURE, IMAGE, no_model

ALL_KINDS = tuple(sorted((*KINDS, *PREPROCESSORS)))
_LOCAL_OPTIONS: dict[str, dict[str, PreprocessorOption]] = {
    "binary": {"bin_threshold": PreprocessorOption("", low=0, high=255, whole=True)},
    "canny": {
        "low_threshold": PreprocessorOption("", low=0, high=255, whole=True),
        "high_threshold": PreprocessorOption("", low=0, high=255, whole=True),
    },
    "color": {},
    "shuffle": {"seed": PreprocessorOption("", low=0, high=2**53 - 1, whole=True)},
    "tile": {"pyr_up_iterations": PreprocessorOption("", low=1, high=10, whole=True)},
}


class PreprocessImage(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    kind: str = Field(
        json_schema_extra={"enum": list(ALL_KINDS)},
        description=f"The control picture. {', '.join(KINDS)} are made on the CPU, the others by a ComfyUI "
        "node with the pack comfyui_controlnet_aux.",
    )
    image: str = Field(min_length=1, description=IMAGE)
    resolution: int = Field(512, ge=64, le=4096, description="Shorter side of the result in pixels.")
    options: dict[str, str | int | float | bool] = Field(
        default={},
        max_length=10,
        description="Options of the kind, such as low_threshold of canny; each has a default.",
    )


def options_of(kind: str) -> dict[str, PreprocessorOption]:
    """Return the options of a kind by name."""
    return dict(_LOCAL_OPTIONS[kind] if kind in KINDS else PREPROCESSORS[kind].options)


def complete(input_: PreprocessImage, resolver: ResourceResolver, path: str) -> PreprocessImage:
    if input_.kind not in ALL_KINDS:
        raise InvalidInput.at(
            f"{path}kind", f"is {input_.kind[:40]!r}, which is not one of {', '.join(ALL_KINDS)}"
        )
    if errors := list(_option_errors(input_, path)):
        raise InvalidInput(errors)
    return input_.model_copy(update={"image": resolver.picture(f"{path}image", input_.image)})


def _option_errors(input_: PreprocessImage, path: str) -> list[FieldError]:
    known = options_of(input_.kind)
    errors: list[FieldError] = []
    for name, given in input_.options.items():
        where = f"{path}options.{name[:40]}"
        if name not in known:
            there = ", ".join(known) or "no options"
            errors.append(FieldError(where, f"is no option of {input_.kind}, which has {there}"))
            continue
        try:
            known[name].value(given)
        except ValueError as error:
            errors.append(FieldError(where, str(error)))
    return errors


def plan(input_: PreprocessImage) -> Plan:
    inputs = {"image": input_.image}
    if input_.kind not in KINDS:
        graph = build_preprocessor(input_.kind, input_.resolution, input_.options, "{image}")
        return Plan(GraphSpec(graph), outputs=1, inputs=inputs)
    known = _LOCAL_OPTIONS[input_.kind]
    options: dict[str, Any] = {name: known[name].value(given) for name, given in input_.options.items()}
    arguments = {"kind": input_.kind, "resolution": input_.resolution, "options": options}
    return Plan(TaskSpec("preprocessImage", arguments), outputs=1, inputs=inputs)


RECIPE = Recipe(
    name="preprocessImage",
    input=PreprocessImage,
    complete=complete,
    plan=plan,
    model=no_model,
    rate=Rate(base=1.0),
    work_field="kind",
    prompt_field="options",
    summary="A control picture for ControlNets: edges, depth, poses, lines and others.",
    example={"kind": "canny", "image": EXAMPLE_PICTURE, "resolution": 512},
)
