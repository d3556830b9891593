"""The files and node classes that a render requires of a node."""

import re
from dataclasses import dataclass  # noqa: TID251 - with an order

from imagemill.domain.images import Control, GraphSpec, ImageSpec, PageSpec, RenderSpec, TaskSpec
from imagemill.graphs.builder import LORA_TYPES, family_of
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.embeddings import embedding_files
from imagemill.graphs.errors import KIND_WORDS
from imagemill.graphs.families.availability import form_on, missing
from imagemill.graphs.families.rows import Variant
from imagemill.graphs.families.table import Families, FamilyMatch, built_in
from imagemill.graphs.graph import file_inputs
from imagemill.graphs.model_files import ENCODER_TYPES, find_installed_controlnet

NETWORK_KINDS = {
    **dict.fromkeys(LORA_TYPES, "lora"),
    **dict.fromkeys(ENCODER_TYPES, "text_encoder"),
    "vae": "vae",
    "embedding": "embedding",
    "hypernet": "hypernet",
}


@dataclass(frozen=True, slots=True, order=True)
class Requirement:
    """One file or class. ``str()`` gives words for a message: "LoRA sdxl/x.safetensors"."""

    kind: str
    """A key of `KIND_WORDS`. ``companions``: the text encoders, VAE and node classes of the model of this
    name, with its family and variant in brackets where the name does not tell them."""
    name: str

    def __str__(self) -> str:
        return f"{KIND_WORDS[self.kind]} {self.name}"

    @property
    def key(self) -> str:
        """A short text that `from_key` reads back."""
        return f"{self.kind}:{self.name}"

    @classmethod
    def from_key(cls, key: str) -> "Requirement":
        """Read a `key`. Raises `ValueError`."""
        kind, separator, name = key.partition(":")
        if not separator or kind not in KIND_WORDS:
            raise ValueError(f"{key!r} is not a requirement; one looks like lora:sdxl/x.safetensors")
        return cls(kind, name)

    def met_by(self, catalogue: Catalogue, families: Families | None = None) -> bool:
        if self.kind == "class":
            return self.name in catalogue.classes
        if self.kind == "embedding":
            return catalogue.embedding(self.name) is not None
        if self.kind == "control":
            return find_installed_controlnet(self.name, catalogue, families or built_in()) is not None
        if self.kind == "companions":
            lacking = _missing_companions(self.name, catalogue, families or built_in())
            return lacking is not None and not lacking
        return catalogue.find(self.kind, self.name) is not None

    def remedy(self, catalogue: Catalogue, families: Families | None = None) -> str:
        """The remedy where it is not met, if it is known; else empty."""
        if self.kind == "companions":
            lacking = _missing_companions(self.name, catalogue, families or built_in())
            return f"add {', '.join(lacking)}" if lacking else ""
        return catalogue.ambiguity(self.kind, self.name)


_COMPANIONS = re.compile(r"(?P<model>.+) \((?P<family>[a-z0-9-]+)\.(?P<variant>[a-z0-9-]+)\)")


def _missing_companions(name: str, catalogue: Catalogue, families: Families) -> tuple[str, ...] | None:
    """Return what a node lacks for a model, in words; None if it does not list the model."""
    told = _COMPANIONS.fullmatch(name)
    model = told["model"] if told is not None else name
    found = (
        families.find(told["family"], variant=told["variant"]) if told is not None else families.guess(model)
    )
    form = form_on(catalogue, model)
    return missing(found.variant, catalogue, form) if found is not None and form is not None else None


def requirements_of(work: RenderSpec, families: Families | None = None) -> tuple[Requirement, ...]:
    """The requirements of a render, sorted and without repeats.

    A graph (normalised) requires all its classes, as servers check them all, and the files that its executed
    nodes load.
    """
    match work:
        case GraphSpec():
            found = _requirements_of_graph(work)
        case ImageSpec():
            found = _requirements_of_spec(work, families or built_in())
        case TaskSpec() | PageSpec():
            found = []
    return tuple(sorted(set(found)))


def _requirements_of_graph(work: GraphSpec) -> list[Requirement]:
    names = {node["class_type"] for node in work.graph.values()}
    classes = [Requirement("class", name) for name in names]
    files = [Requirement(kind, file) for _, _, kind, file in file_inputs(work.graph)]
    return classes + files + [Requirement("embedding", file) for file in embedding_files(work.graph)]


def _requirements_of_spec(spec: ImageSpec, families: Families) -> list[Requirement]:
    known = [network for network in spec.networks if network.type in NETWORK_KINDS]
    needs = [Requirement("checkpoint", spec.model_path)]
    needs += [Requirement(NETWORK_KINDS[network.type], network.path or network.air) for network in known]
    needs += [_control_requirement(control, spec.family) for control in spec.controls]
    if spec.upscale is not None:
        needs.append(Requirement("upscaler", spec.upscale.model_path))
    found = family_of(spec, families)
    names_encoders = any(network.type in ENCODER_TYPES for network in spec.networks)
    if found is not None and not names_encoders and _is_demanding(found.variant):
        needs.append(Requirement("companions", _with_family(spec.model_path, found, families)))
    return needs


def _is_demanding(variant: Variant) -> bool:
    """Whether a model needs more than its own file and the oldest nodes."""
    return bool(variant.text_encoder or variant.patches) or variant.sampling.kind != "ksampler"


def _with_family(model: str, found: FamilyMatch, families: Families) -> str:
    if families.guess(model) == found:
        return model
    return f"{model} ({found.family.name}.{found.variant_name})"


def _control_requirement(control: Control, family: str) -> Requirement:
    if control.model_path:
        return Requirement("controlnet", control.model_path)
    return Requirement("control", f"{control.preprocessor.lower() or 'a map'} {family}")
