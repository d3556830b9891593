"""From v1 job templates to job requests."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError

from imagemill.dialects.civitai_v1.schemas import (
    ADAPTERS,
    ALL_FIELDS,
    NETWORK_TYPES,
    PROVIDERS,
    TEMPLATES,
    TYPE_NAMES,
    ComfyParams,
    ComfyTemplate,
    ControlNet,
    NetworkParams,
    Template,
    TextToImageTemplate,
)
from imagemill.domain.air import CHECKPOINT_TYPES, EXAMPLE, InvalidAir, parse
from imagemill.domain.clock import SECOND, from_datetime, now_us
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import MAX_SEED
from imagemill.domain.scheduling import PRIORITY_BOUND
from imagemill.graphs import graph as graphs
from imagemill.graphs.errors import InvalidGraph
from imagemill.jobs.store.submit import MAX_KEY
from imagemill.jobs.submit import JobRequest
from imagemill.net.url_guard import UrlGuard
from imagemill.web.body_fields import field_errors, suggestion

_MOST_PICTURES = 10_000
"""The most pictures of a request; one for more is refused before a list of them is made."""
_DEFAULT_STEPS = 30
_MOST_WARNINGS = 20
_LONGEST_LIFE_S = 10 * 365 * 86_400
"""Ten years in seconds: much later times cannot be written as a date."""


def templates(body: Any) -> list[tuple[str, Template]]:
    """Return the job templates of a body with their paths. Raises `InvalidInput`."""
    if not isinstance(body, dict):
        raise InvalidInput.at("", 'the body must be an object: a job template, or {"jobs": [...]}')
    if "$type" not in body and "jobs" in body:
        jobs = body["jobs"]
        if not isinstance(jobs, list) or not jobs:
            raise InvalidInput.at("jobs", "must be a list of at least one job template")
        if len(jobs) > _MOST_PICTURES:
            raise InvalidInput.at("jobs", f"holds {len(jobs)} templates; at most {_MOST_PICTURES} are read")
        found = [(f"jobs[{index}].", _template(job, f"jobs[{index}]")) for index, job in enumerate(jobs)]
        _check_names(found)
        return found
    return [("", _template(body, ""))]


def _template(value: Any, path: str) -> Template:
    if not isinstance(value, dict):
        raise InvalidInput.at(path, "must be an object: a job template")
    given = cast("dict[str, Any]", value)
    kind = _type_of(given, path)
    model = TEMPLATES[kind]
    fields = {name: each for name, each in given.items() if name != "type"} | {"$type": kind}
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, model, path)) from error


def _type_of(value: Mapping[str, Any], path: str) -> str:
    """Return the ``$type`` of a template, which older clients write as ``type``, in any case, or leave out.

    A template without one is a text-to-image job, or a graph if it has a workflow.
    """
    name = "$type" if value.get("$type") is not None else "type"
    kind = value.get(name)
    if kind is None:
        params = value.get("params")
        return "comfy" if isinstance(params, dict) and "workflow" in params else "textToImage"
    known = TYPE_NAMES.get(kind.lower().replace("_", "")) if isinstance(kind, str) else None
    if known is None:
        at = f"{path}.{name}" if path else name
        raise InvalidInput.at(at, f"is {repr(kind)[:60]}{suggestion(str(kind), TEMPLATES)}")
    return known


def _check_names(found: Sequence[tuple[str, Template]]) -> None:
    """Raise `InvalidInput` when two templates share a name that a dependency refers to."""
    wanted = {name for _, template in found for name in template.dependencies or ()}
    first: dict[str, str] = {}
    for path, template in found:
        if template.name not in wanted:
            continue
        if template.name in first:
            raise InvalidInput.at(
                f"{path}name",
                f"{template.name!r} is the name of {first[template.name]} too, and a job depends on it; "
                "give each a name of its own",
            )
        first[template.name] = path.removesuffix(".")


def job_requests(
    found: Sequence[tuple[str, Template]], guard: UrlGuard, *, prompt_chars: int, backends: Sequence[str]
) -> list[JobRequest]:
    """Return a job request for each picture. Raises `InvalidInput`."""
    pictures = sum(_count(template) for _, template in found)
    if pictures > _MOST_PICTURES:
        raise InvalidInput.at("jobs", f"asks for {pictures} pictures; at most {_MOST_PICTURES} are read")
    all_wishes: list[JobRequest] = []
    for path, template in found:
        common = _common(path, template, guard, backends)
        if isinstance(template, TextToImageTemplate):
            inputs = _text_to_image(path, template, prompt_chars)
        else:
            assert isinstance(template, ComfyTemplate)  # noqa: S101 - TEMPLATES has no other
            inputs = _comfy(path, template)
        all_wishes.extend(
            JobRequest(recipe=template.type, path=path, input=input_, **common) for input_ in inputs
        )
    return all_wishes


def _count(template: Template) -> int:
    if isinstance(template, TextToImageTemplate):
        return template.quantity * template.batch_size
    return template.quantity if isinstance(template, ComfyTemplate) else 1


def _common(path: str, template: Template, guard: UrlGuard, backends: Sequence[str]) -> dict[str, Any]:
    check_keys(f"{path}properties", template.properties or ())
    if template.callback_url is not None:
        guard.check_url(f"{path}callbackUrl", template.callback_url)
    expires_at = from_datetime(template.expire_at) if template.expire_at else None
    if expires_at is not None and expires_at <= now_us():
        raise InvalidInput.at(f"{path}expireAt", "is in the past; write a later time")
    if expires_at is not None and expires_at > now_us() + _LONGEST_LIFE_S * SECOND:
        raise InvalidInput.at(f"{path}expireAt", "is more than ten years away; write an earlier time")
    return {
        "name": template.name,
        "after": tuple(dict.fromkeys(template.dependencies or ())),
        "priority": max(-PRIORITY_BOUND, min(PRIORITY_BOUND, template.priority or 0)),
        "timeout_s": template.timeout,
        "max_failures": None if template.retries is None else template.retries + 1,
        "expires_at": expires_at,
        "properties": template.properties or {},
        "callback_url": template.callback_url,
        "backends": _backends(path, template, backends),
        "client": _client(path, template),
    }


def check_keys(path: str, keys: Iterable[str]) -> None:
    """Check the keys of properties. Raises `InvalidInput`."""
    for key in keys:
        if len(key) > MAX_KEY:
            raise InvalidInput.at(path, f"has a key of {len(key)} characters; at most {MAX_KEY} are kept")


def _backends(path: str, template: Template, backends: Sequence[str]) -> tuple[str, ...]:
    """Return the backends of a template. Civitai's own provider names mean any backend."""
    chosen: set[str] = set()
    for index, provider in enumerate(template.providers or ()):
        if provider in backends:
            chosen.add(provider)
        elif provider.lower() not in (name.lower() for name in PROVIDERS):
            near = suggestion(provider, [*PROVIDERS, *backends])
            raise InvalidInput.at(f"{path}providers[{index}]", f"is {provider[:40]!r}{near}")
    return tuple(chosen)


def _client(path: str, template: Template) -> dict[str, Any]:
    """Return the fields that only the answers need."""
    warnings = _warnings(path, template)
    client: dict[str, Any] = {"warnings": warnings} if warnings else {}
    if isinstance(template, TextToImageTemplate) and template.base_model:
        client["baseModel"] = template.base_model[:64]
    if isinstance(template, TextToImageTemplate) and template.control_nets:
        client["controlNets"] = [
            control.model_dump(by_alias=True, exclude_none=True) for control in template.control_nets
        ]
    return client


def _warnings(path: str, template: Template) -> list[str]:
    """Return a sentence for each part of a template that has no effect."""
    found = [
        f"{path}{name[:40]}: is not a field of this job and is ignored"
        + suggestion(name, ALL_FIELDS[template.type])
        for name in list(template.model_extra or ())[:_MOST_WARNINGS]
    ]
    if template.priority is not None and abs(template.priority) > PRIORITY_BOUND:
        found.append(
            f"{path}priority: is outside {-PRIORITY_BOUND} to {PRIORITY_BOUND}; the nearest of them is used"
        )
    if isinstance(template, TextToImageTemplate):
        found += [
            f"{path}controlNets[{index}]: has no imageUrl and no blobKey, so it has no effect"
            for index, control in enumerate(template.control_nets or ())
            if not control.image_url and not control.blob_key
        ]
    if isinstance(template, ComfyTemplate) and template.params.workflow is not None:
        used = _used(template.params, template.params.workflow)
        found += [
            f"{path}params.{name[:40]}: has no effect, as no text of the workflow contains {{{name[:40]}}}"
            for name in list(_extra(template.params))[:_MOST_WARNINGS]
            if name not in used
        ]
    return found


def _control(path: str, control: ControlNet, steps: int | None) -> dict[str, Any]:
    start, end = effect_bounds(path, control.start_step, control.end_step, steps or _DEFAULT_STEPS)
    blob = f"blob:{control.blob_key}" if control.blob_key else None
    return {
        "preprocessor": control.preprocessor,
        "weight": control.weight,
        "start": start,
        "end": end,
        "image": control.image_url or blob,
    }


def effect_bounds(path: str, start: float, end: float, steps: int) -> tuple[float, float]:
    """Return where a ControlNet's effect begins and ends, as fractions of all steps.

    Clients write them so, or as numbers of steps if one of them is above 1.
    """
    if end < start:
        raise InvalidInput.at(f"{path}endStep", "is before startStep")
    whole = steps if end > 1 else 1
    return min(1.0, start / whole), min(1.0, end / whole)


def _text_to_image(path: str, template: TextToImageTemplate, prompt_chars: int) -> list[dict[str, Any]]:
    params = template.params
    for name, text in (("prompt", params.prompt), ("negativePrompt", params.negative_prompt or "")):
        if len(text) > prompt_chars:
            raise InvalidInput.at(
                f"{path}params.{name}", f"has {len(text)} characters, at most {prompt_chars} are accepted"
            )
    base: dict[str, Any] = {
        "model": template.model,
        "prompt": params.prompt,
        "negative_prompt": params.negative_prompt or "",
        "networks": network_inputs(path, template.additional_networks or {}),
        "controls": [
            _control(f"{path}controlNets[{index}].", control, params.steps)
            for index, control in enumerate(template.control_nets or ())
            if control.image_url or control.blob_key
        ],
    }
    if params.scheduler:
        base["sampler"] = params.scheduler
    for name in ("steps", "cfg_scale", "width", "height", "clip_skip"):
        value = getattr(params, name)
        if value is not None:
            base[name] = value
    count = template.quantity * template.batch_size
    return [{**base, "seed": seed_of(params.seed, index)} for index in range(count)]


def seed_of(seed: int | None, index: int) -> int | None:
    """Return the seed of a picture: a given one is counted up, so pictures differ and are reproducible."""
    return None if seed is None or seed < 0 else (seed + index) % (MAX_SEED + 1)


def network_inputs(path: str, given: Mapping[str, NetworkParams]) -> list[dict[str, Any]]:
    """Return the recipe's networks for additional networks by AIR. Raises `InvalidInput`."""
    networks: list[dict[str, Any]] = []
    for key, network in given.items():
        if not key and network.id is None:
            raise InvalidInput.at(f"{path}additionalNetworks['']", f"must be named by its AIR, as {EXAMPLE}")
        air = network.id or key
        kind = NETWORK_TYPES.get(network.type or "")
        _check_network(f"{path}additionalNetworks[{key!r}]", air, kind)
        networks.append(
            {
                "air": air,
                "type": kind,
                "strength": 1.0 if network.strength is None else network.strength,
                "trigger_word": network.trigger_word,
            }
        )
    return networks


def _check_network(path: str, air: str, kind: str | None) -> None:
    """Raise `InvalidInput` for a type that contradicts the AIR, and for a model that is no network."""
    try:
        named = parse(air).type
    except InvalidAir:
        named = None  # a short form, a file name, or an error that the recipe reports
    named = None if named == "model" else named  # a former word that says nothing about the model
    for found, at, words in ((kind, f"{path}.type", "is"), (named, path, "is the AIR of a")):
        if found in CHECKPOINT_TYPES or found == "controlnet":
            instead = "`controlNets`" if found == "controlnet" else "`model`"
            raise InvalidInput.at(
                at, f"{words} {found}, which has no effect as an additional network; write it as {instead}"
            )
    same = kind == named or {kind, named} <= ADAPTERS
    if kind is not None and named in NETWORK_TYPES.values() and not same:
        raise InvalidInput.at(f"{path}.type", f"is {kind}, but {air[:200]} is a {named}; leave the type out")


def _comfy(path: str, template: ComfyTemplate) -> list[dict[str, Any]]:
    params = template.params
    graph = params.workflow
    seed, variables = params.seed, dict[str, Any]()
    if graph is None:
        # `params` may be the graph itself.
        graph = dict(params.model_extra or {})
        if not graph:
            raise InvalidInput.at(f"{path}params.workflow", "is required: a graph in ComfyUI's API format")
    else:
        used = _used(params, graph)
        variables = {name: value for name, value in _extra(params).items() if name in used}
        seed = variables.pop("seed", None)
    given = seed if seed is not None and seed >= 0 else None
    return [
        {
            "graph": graph,
            "seed": None if given is None else given + index,
            "variables": variables,
            "number": index,
        }
        for index in range(template.quantity)
    ]


def _extra(params: ComfyParams) -> dict[str, Any]:
    """Return the values beside the graph. They replace ``{words}`` in it."""
    extra = {name: value for name, value in (params.model_extra or {}).items() if value is not None}
    return extra if params.seed is None else {**extra, "seed": params.seed}


def _used(params: ComfyParams, workflow: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the values beside the graph that some text of it contains as ``{name}``."""
    plain = {name: value for name, value in _extra(params).items() if isinstance(value, (str, int, float))}
    if not plain:
        return frozenset()
    try:
        graph = graphs.normalise(workflow)
    except InvalidGraph:
        return frozenset(plain)  # the recipe refuses the graph, with a better message
    words = {word.lower() for _, _, word in graphs.words(graph)}
    return frozenset(name for name in plain if name.lower() in words)
