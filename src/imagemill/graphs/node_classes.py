"""The declared inputs and outputs of node classes, read from a ComfyUI server's ``/object_info``.

A choice occurs in two spellings, ``[["a", "b"], {}]`` and ``["COMBO", {"options": [...]}]``. Two kinds of
inputs expand into several: a choice that has inputs of its own (``resize_type.width``), and a list that grows
with the links to it (``images.image0``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from imagemill.domain.dataclass import dataclass
from imagemill.graphs.files import MODEL_FILES
from imagemill.graphs.json_access import is_array, mapping, number, sequence, text

CHOICE, BRANCHING, GROWING = "COMBO", "COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3"
WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", CHOICE, BRANCHING})
"""Types whose value is entered in a standard widget; the others are linked, or have widgets of their own."""

UPLOADS = ("image_upload", "video_upload", "audio_upload", "file_upload", "upload")
"""Settings of an input whose files are uploaded before each run, so that its list of files is out of date."""

_DEEPEST_BRANCH = 8


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input."""

    name: str
    type: str
    required: bool = True
    choices: tuple[Any, ...] | None = None
    """The values of a choice; None if it is not a choice or not declared (the server is queried later)."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """``default``, ``min``, ``max``, ``step``, ``multiline``, ``tooltip``, ... as declared."""
    branches: Mapping[str, tuple["InputSpec", ...]] = field(
        default_factory=dict[str, tuple["InputSpec", ...]]
    )
    """For a choice that has inputs of its own: chosen value -> those inputs."""
    grows: "InputSpec | None" = None
    """For a list that grows: the declaration of each entry."""
    entries: tuple[str, ...] = ()
    """For a list that grows: the names of its entries, in order."""
    min_entries: int = 0
    """For a list that grows: the number of required entries."""

    @property
    def is_upload(self) -> bool:
        return any(self.settings.get(name) for name in UPLOADS) or "remote" in self.settings

    @property
    def lists_files(self) -> bool:
        """Whether it is a choice among model files on the node's disk."""
        return (
            not self.is_upload
            and self.choices is not None
            and any(isinstance(c, str) and c.lower().endswith(MODEL_FILES) for c in self.choices)
        )

    @property
    def widget_type(self) -> str:
        """The type that is entered in the widget: an input of several types names one of them."""
        return text(self.settings.get("widgetType")) or self.type

    @property
    def is_widget(self) -> bool:
        return self.widget_type in WIDGET_TYPES and not self.settings.get("forceInput")

    @property
    def default(self) -> Any:
        if "default" in self.settings:
            return self.settings["default"]
        return self.choices[0] if self.choices else None

    @property
    def minimum(self) -> int | float | None:
        return number(self.settings.get("min"))

    @property
    def maximum(self) -> int | float | None:
        return number(self.settings.get("max"))


@dataclass(frozen=True, slots=True)
class NodeClass:
    name: str
    inputs: Mapping[str, InputSpec]
    """The inputs in the order of the node's widgets."""
    outputs: tuple[str, ...] | None
    """The types of the outputs; None if not declared."""
    is_output: bool
    output_names: tuple[str, ...] = ()
    """The names of the outputs; fewer than the types if not declared."""
    display_name: str = ""
    is_partner: bool = False
    """Whether a paid service runs it: its prompts need a key of ComfyUI's API."""
    readable: bool = True
    """False if its description is damaged: only its name is known."""


def read_class(name: str, content: object) -> NodeClass:
    """Read a class; a damaged description gives a class that is not ``readable``. Never raises."""
    described = mapping(content)
    inputs = mapping(described.get("input"))
    outputs = described.get("output")
    if not described or ("input" in described and not isinstance(described["input"], Mapping)):
        return NodeClass(name, {}, None, is_output=False, readable=False)
    declared = {d.name: d for d in _read_inputs(inputs, mapping(described.get("input_order")), 0)}
    types = tuple(map(_type_name, outputs)) if is_array(outputs) else None
    return NodeClass(
        name=name,
        inputs=declared,
        outputs=types,
        is_output=described.get("output_node") is True,
        output_names=tuple(map(text, sequence(described.get("output_name")))),
        display_name=text(described.get("display_name")),
        is_partner=described.get("api_node") is True,
    )


def _read_inputs(inputs: Mapping[str, Any], order: Mapping[str, Any], depth: int) -> Iterator[InputSpec]:
    for section in ("required", "optional"):
        declared = mapping(inputs.get(section))
        named = [name for name in sequence(order.get(section)) if isinstance(name, str) and name in declared]
        for name in dict.fromkeys([*named, *declared]):
            yield _read_input(name, declared[name], required=section == "required", depth=depth)


def _read_input(name: str, content: object, *, required: bool, depth: int) -> InputSpec:
    parts = sequence(content)
    kind = parts[0] if parts else "*"
    settings: Mapping[str, Any] = mapping(parts[1]) if len(parts) > 1 else {}
    if is_array(kind):
        return InputSpec(name, CHOICE, required, tuple(kind), settings)
    kind = text(kind, "*")
    if kind == CHOICE:
        options = settings.get("options")
        choices = tuple(options) if is_array(options) else None
        return InputSpec(name, CHOICE, required, choices, settings)
    if kind == BRANCHING and depth < _DEEPEST_BRANCH:
        branches = _read_branches(settings, depth)
        return InputSpec(name, BRANCHING, required, tuple(branches), settings, branches)
    if kind == GROWING and depth < _DEEPEST_BRANCH:
        return _read_growing(name, settings, required=required, depth=depth)
    return InputSpec(name, kind, required, None, settings)


def _read_branches(settings: Mapping[str, Any], depth: int) -> dict[str, tuple[InputSpec, ...]]:
    branches: dict[str, tuple[InputSpec, ...]] = {}
    for option in map(mapping, sequence(settings.get("options"))):
        if isinstance(option.get("key"), str):
            branches[option["key"]] = tuple(_read_inputs(mapping(option.get("inputs")), {}, depth + 1))
    return branches


def _read_growing(name: str, settings: Mapping[str, Any], *, required: bool, depth: int) -> InputSpec:
    template = mapping(settings.get("template"))
    of = next(iter(_read_inputs(mapping(template.get("input")), {}, depth + 1)), InputSpec(name, "*"))
    names = tuple(entry for entry in sequence(template.get("names")) if isinstance(entry, str))
    prefix, most = text(template.get("prefix")), number(template.get("max")) or 0
    entries = names or tuple(f"{prefix}{i}" for i in range(min(int(most), 1000)))
    min_entries = int(number(template.get("min")) or 0)
    return InputSpec(name, GROWING, required, None, settings, {}, of, entries, min_entries)


def _type_name(output: object) -> str:
    """The type of an output; for a choice the server lists its values in place of a type name."""
    return output if isinstance(output, str) else CHOICE


def unfold(declared: Mapping[str, InputSpec], inputs: Mapping[str, Any]) -> Iterator[tuple[str, InputSpec]]:
    """(full name, declaration) of each input of a node, given the values that expand choices and lists."""
    for name, input_ in declared.items():
        if input_.grows is None and not input_.branches:
            yield name, input_
        else:
            yield from _unfold(name, input_, inputs)


def _unfold(name: str, input_: InputSpec, inputs: Mapping[str, Any]) -> Iterator[tuple[str, InputSpec]]:
    if input_.grows is not None:
        for position, entry in enumerate(input_.entries):
            full = f"{name}.{entry}"
            wanted = input_.required and position < input_.min_entries
            if wanted or full in inputs:
                one = input_.grows
                yield full, InputSpec(full, one.type, wanted, one.choices, one.settings)
        return
    yield name, input_
    chosen = inputs.get(name)
    if isinstance(chosen, str):
        for inner in input_.branches.get(chosen, ()):
            yield from _unfold(f"{name}.{inner.name}", inner, inputs)
