"""What POST /prompt says to a graph: the errors of each node, in the words of the release."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.comfyui.catalogue import Config
from tests.comfyui.catalogue_images import Catalogue

Graph = dict[str, Any]
Error = dict[str, Any]
SHOWN_OPTIONS = 20  # longer lists are not spelled out
CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


class ServerTrouble(Exception):
    """The real server falls over here and answers 500."""


@dataclass
class Verdict:
    """`error` is None when at least one output can run; `outputs` are those that can."""

    error: Error | None = None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


def error(type_: str, message: str, details: str = "", **extra_info: Any) -> Error:
    return {"type": type_, "message": message, "details": details, "extra_info": extra_info}


def validate(
    graph: Any, catalogue: Catalogue, has_picture: Callable[[str], bool], targets: Any = None
) -> Verdict:
    """Judge a graph; numbers and texts in it are converted in place, as the server does."""
    if not isinstance(graph, dict):
        if catalogue.new:
            raise ServerTrouble("prompt is not an object")
        return Verdict(error("prompt_no_outputs", "Prompt has no outputs"))
    refused = _unknown(graph, catalogue)
    if refused:
        return Verdict(refused)
    # The server keeps them in a set, so their order means nothing; as recorded, later ones come first.
    outputs = [
        name
        for name, node in reversed(graph.items())
        if catalogue.is_output(node["class_type"]) and (targets is None or name in targets)
    ]
    if not outputs:
        return Verdict(error("prompt_no_outputs", "Prompt has no outputs"))
    return _Checker(graph, catalogue, has_picture).judge(outputs)


def _unknown(graph: Graph, catalogue: Catalogue) -> Error | None:
    for name, node in graph.items():
        kind = node.get("class_type")
        if kind is not None and kind in catalogue:
            continue
        if not catalogue.new:
            reason = (
                "a node is missing the class_type property."
                if kind is None
                else f"node {kind} does not exist."
            )
            return error("invalid_prompt", f"Cannot execute because {reason}", f"Node ID '#{name}'")
        title = node.get("_meta", {}).get("title", kind)
        reason = (
            f"Node '{title}' not found. The custom node may not be installed."
            if kind is not None
            else f"Node '{title}' has no class_type. The workflow may be corrupted or a custom node is"
            " missing."
        )
        return error(
            "missing_node_type", reason, f"Node ID '#{name}'", node_id=name, class_type=kind, node_title=title
        )
    return None


class _Cycle(Exception):
    pass


class _Checker:
    def __init__(self, graph: Graph, catalogue: Catalogue, has_picture: Callable[[str], bool]) -> None:
        self._graph = graph
        self._catalogue = catalogue
        self._has_picture = has_picture
        self._checked: dict[str, tuple[bool, list[Error]]] = {}
        self._path: list[str] = []

    def judge(self, outputs: list[str]) -> Verdict:
        verdict = Verdict()
        details: list[str] = []
        for output in outputs:
            valid, errors = self._output(output)
            if valid:
                verdict.outputs.append(output)
                continue
            details += [f"{found['message']}: {found['details']}" for found in errors if self._own(found)]
            self._blame(verdict.node_errors, output)
        if not verdict.outputs:
            shown = "\n".join(details)
            verdict.error = error(
                "prompt_outputs_failed_validation", "Prompt outputs failed validation", shown
            )
        return verdict

    def _own(self, found: Error) -> bool:
        return found["type"] != "dependency_cycle"

    def _output(self, output: str) -> tuple[bool, list[Error]]:
        self._path = []
        try:
            return self._check(output)
        except _Cycle:
            return False, []
        except (KeyError, IndexError, TypeError) as fault:
            reason = error(
                "exception_during_validation",
                "Exception when validating node",
                _said(fault),
                exception_type=type(fault).__name__,
                traceback=trace("validate_prompt", "validate_inputs"),
            )
            self._checked[output] = (False, [reason])
            return False, [reason]

    def _blame(self, node_errors: dict[str, Any], output: str) -> None:
        for name, (valid, errors) in self._checked.items():
            if valid or not errors:
                continue
            entry = node_errors.setdefault(
                name,
                {"errors": errors, "dependent_outputs": [], "class_type": self._graph[name]["class_type"]},
            )
            entry["dependent_outputs"].append(output)

    def _check(self, name: str) -> tuple[bool, list[Error]]:
        if name in self._checked:
            return self._checked[name]
        if name in self._path:
            self._report_cycle(name)
            raise _Cycle
        self._path.append(name)
        node = self._graph[name]
        inputs, errors, sound = node["inputs"], [], True
        for section, configs in self._catalogue.inputs(node["class_type"]).items():
            for given, config in _expanded(configs, inputs).items():
                found, below = self._input(inputs, given, config, section == "required")
                errors += found
                sound = sound and below
        self._path.pop()
        self._checked[name] = (sound and not errors, errors)
        return self._checked[name]

    def _input(self, inputs: Graph, name: str, config: Config, required: bool) -> tuple[list[Error], bool]:
        """The errors of one input, and whether what it links to is sound."""
        if name not in inputs:
            missing = error("required_input_missing", "Required input is missing", name, input_name=name)
            return ([missing] if required else []), True
        value = inputs[name]
        if isinstance(value, list):
            return self._link(name, config, value)
        return self._value(inputs, name, config, value), True

    def _link(self, name: str, config: Config, link: list[Any]) -> tuple[list[Error], bool]:
        about = {"input_name": name, "input_config": config}
        if len(link) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            return [error("bad_linked_input", message, name, **about, received_value=link)], True
        source, slot = link
        given = self._catalogue.outputs(self._graph[source]["class_type"])[slot]
        if not _fits(given, config[0]):
            wanted = config[0] if isinstance(config[0], str) else "COMBO"
            details = f"{name}, received_type({given}) mismatch input_type({wanted})"
            message = "Return type mismatch between linked nodes"
            return [
                error(
                    "return_type_mismatch", message, details, **about, received_type=given, linked_node=link
                )
            ], True
        try:
            return [], self._check(source)[0]
        except (KeyError, IndexError, TypeError) as fault:
            inner = error(
                "exception_during_inner_validation",
                "Exception when validating inner node",
                _said(fault),
                **about,
                exception_message=_said(fault),
                exception_type=type(fault).__name__,
                traceback=trace("validate_inputs", "validate_inputs"),
                linked_node=link,
            )
            self._path = self._path[: self._path.index(source)] if source in self._path else self._path
            self._checked[source] = (False, [inner])
            return [], False

    def _value(self, inputs: Graph, name: str, config: Config, value: Any) -> list[Error]:
        kind, more = config[0], config[1] if len(config) > 1 else {}
        about = {"input_name": name, "input_config": config}
        if isinstance(kind, str) and kind in CONVERSIONS:
            try:
                value = inputs[name] = CONVERSIONS[kind](value)
            except (TypeError, ValueError) as fault:
                message = f"Failed to convert an input value to a {kind} value"
                details = f"{name}, {value}, {fault}"
                return [
                    error(
                        "invalid_input_type",
                        message,
                        details,
                        **about,
                        received_value=value,
                        exception_message=str(fault),
                    )
                ]
        if "min" in more and value < more["min"]:
            message = f"Value {value} smaller than min of {more['min']}"
            return [error("value_smaller_than_min", message, name, **about, received_value=value)]
        if "max" in more and value > more["max"]:
            message = f"Value {value} bigger than max of {more['max']}"
            return [error("value_bigger_than_max", message, name, **about, received_value=value)]
        if more.get("image_upload"):
            details = f"{name} - Invalid image file: {value}"
            message = "Custom validation failed for node"
            bad = not self._has_picture(value)
            return [error("custom_validation_failed", message, details, input_name=name)] if bad else []
        return _choice(name, config, value)

    def _report_cycle(self, name: str) -> None:
        around = self._path[self._path.index(name) :]
        for member in around:
            if not self._catalogue.new:
                self._checked[member] = (False, [])
                continue
            way = [*around, name]
            details = " -> ".join(f"{step} ({self._graph[step]['class_type']})" for step in way)
            found = error(
                "dependency_cycle", "Dependency cycle detected", details, node_id=member, cycle_nodes=around
            )
            self._checked[member] = (False, [found])


def trace(*functions: str) -> list[str]:
    """A traceback as the server sends it, with paths of the server."""
    return [f'  File "/srv/comfyui/execution.py", line 1, in {name}\n    run()\n' for name in functions]


def _said(fault: Exception) -> str:
    return str(fault)


def _choice(name: str, config: Config, value: Any) -> list[Error]:
    options = (
        config[0]
        if isinstance(config[0], list)
        else config[1].get("options")
        if config[0] == "COMBO"
        else None
    )
    if options is None or value in options:
        return []
    long = len(options) > SHOWN_OPTIONS
    shown = f"(list of length {len(options)})" if long else str(options)
    about = {"input_name": name, "input_config": None if long else config, "received_value": value}
    return [error("value_not_in_list", "Value not in list", f"{name}: {value!r} not in {shown}", **about)]


def _fits(given: str, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return False
    if given in ("*", "COMFY_MATCHTYPE_V3") or wanted in ("*", "COMFY_MATCHTYPE_V3"):
        return True
    return bool(set(given.split(",")) & set(wanted.split(",")))


def _expanded(configs: Mapping[str, Config], inputs: Graph) -> dict[str, Config]:
    """The declared inputs with the typed ones unfolded: `images.image0`, `resize_type.multiplier`."""
    unfolded: dict[str, Config] = {}
    for name, config in configs.items():
        if config[0] == "COMFY_AUTOGROW_V3":
            template = config[1]["template"]
            (inner,) = template["input"]["required"].values()
            least = [f"{name}.{template['prefix']}{place}" for place in range(template["min"])]
            given = [key for key in inputs if key.startswith(f"{name}.")]
            unfolded |= dict.fromkeys([*least, *given], inner)
        elif config[0] == "COMFY_DYNAMICCOMBO_V3":
            options = config[1]["options"]
            unfolded[name] = [[option["key"] for option in options]]
            chosen = next((option for option in options if option["key"] == inputs.get(name)), None)
            more = chosen["inputs"]["required"] if chosen else {}
            unfolded |= {f"{name}.{key}": inner for key, inner in more.items()}
        else:
            unfolded[name] = config
    return unfolded
