"""The files and node classes that a render requires of a node."""

from dataclasses import dataclass

from imagemill.domain.images import Control, GraphSpec, ImageSpec, RenderSpec, TaskSpec
from imagemill.graphs.builder import LORA_TYPES
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.embeddings import embedding_files
from imagemill.graphs.errors import KIND_WORDS
from imagemill.graphs.graph import file_inputs
from imagemill.graphs.model_files import ENCODER_TYPES, find_installed_controlnet, has_companions

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
    """A key of `KIND_WORDS`. ``companions``: the text encoders and VAE of the Flux model of this name."""
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

    def met_by(self, catalogue: Catalogue) -> bool:
        if self.kind == "class":
            return self.name in catalogue.classes
        if self.kind == "embedding":
            return catalogue.embedding(self.name) is not None
        if self.kind == "control":
            return find_installed_controlnet(self.name, catalogue) is not None
        if self.kind == "companions":
            return has_companions(self.name, catalogue)
        return catalogue.find(self.kind, self.name) is not None

    def remedy(self, catalogue: Catalogue) -> str:
        """The remedy where it is not met, if it is known; else empty."""
        return catalogue.ambiguity(self.kind, self.name)


def requirements_of(work: RenderSpec) -> tuple[Requirement, ...]:
    """The requirements of a render, sorted and without repeats.

    A graph (normalised) requires all its classes, as servers check them all, and the files that its executed
    nodes load.
    """
    match work:
        case GraphSpec():
            found = _requirements_of_graph(work)
        case ImageSpec():
            found = _requirements_of_spec(work)
        case TaskSpec():
            found = []
    return tuple(sorted(set(found)))


def _requirements_of_graph(work: GraphSpec) -> list[Requirement]:
    classes = [Requirement("class", node["class_type"]) for node in work.graph.values()]
    files = [Requirement(kind, file) for _, _, kind, file in file_inputs(work.graph)]
    return classes + files + [Requirement("embedding", file) for file in embedding_files(work.graph)]


def _requirements_of_spec(spec: ImageSpec) -> list[Requirement]:
    known = [network for network in spec.networks if network.type in NETWORK_KINDS]
    needs = [Requirement("checkpoint", spec.model_path)]
    needs += [Requirement(NETWORK_KINDS[network.type], network.path or network.air) for network in known]
    needs += [_control_requirement(control, spec.family) for control in spec.controls]
    if spec.upscale is not None:
        needs.append(Requirement("upscaler", spec.upscale.model_path))
    if spec.family == "flux1" and not any(network.type in ENCODER_TYPES for network in spec.networks):
        needs.append(Requirement("companions", spec.model_path))
    return needs


def _control_requirement(control: Control, family: str) -> Requirement:
    if control.model_path:
        return Requirement("controlnet", control.model_path)
    return Requirement("control", f"{control.preprocessor.lower() or 'a map'} {family}")
