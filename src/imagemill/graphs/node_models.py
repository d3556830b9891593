"""The model files of a node, by kind, as its core loaders list them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.files import MODEL_FILES

LOADERS = {
    "checkpoint": (("CheckpointLoaderSimple", "ckpt_name"), ("UNETLoader", "unet_name")),
    "lora": (("LoraLoader", "lora_name"),),
    "vae": (("VAELoader", "vae_name"),),
    "controlnet": (("ControlNetLoader", "control_net_name"),),
    "upscaler": (("UpscaleModelLoader", "model_name"),),
}
"""Kind of model -> (class, input) of the core loaders for it."""

FOLDERS = {
    "checkpoint": ("checkpoints", "diffusion_models"),
    "lora": ("loras",),
    "vae": ("vae",),
    "controlnet": ("controlnet",),
    "upscaler": ("upscale_models",),
}
"""Kind of model -> ComfyUI's folders of it."""


def list_files(catalogue: Catalogue | None, kind: str) -> tuple[str, ...]:
    """The files that the core loaders of a kind list."""
    if catalogue is None:
        return ()
    listed = (catalogue.options(class_type, input_) or () for class_type, input_ in LOADERS[kind])
    return tuple(dict.fromkeys(name for names in listed for name in names))


def has_model_extension(name: str) -> bool:
    """Whether a text ends like the name of a model file."""
    return name.lower().endswith(MODEL_FILES)


@dataclass(frozen=True, slots=True)
class NodeFile:
    """A model file of a node, in the node's own spelling."""

    kind: str
    name: str
    size: int | None = None
    """Bytes; None if the node does not tell."""


@dataclass(frozen=True, slots=True)
class NodeModels:
    """The models of one node; ``catalogue`` None means that it has not been read yet."""

    node: str
    catalogue: Catalogue | None
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    """File -> bytes."""

    def files(self) -> Iterator[NodeFile]:
        """Yield the files, checkpoints first. ComfyUI lists built-in VAEs as names without an extension."""
        for kind in LOADERS:
            for name in list_files(self.catalogue, kind):
                if has_model_extension(name):
                    yield NodeFile(kind, name, self.sizes.get(name))

    def find(self, kind: str, wanted: str) -> NodeFile | None:
        """The file of a name in any case, with or without its folder and extension; None if unknown."""
        if self.catalogue is None:
            return None
        for class_type, input_ in LOADERS[kind]:
            tried = [wanted] if has_model_extension(wanted) else [wanted + end for end in MODEL_FILES]
            for name in tried:
                found = self.catalogue.file(class_type, input_, name)
                if found is not None:
                    return NodeFile(kind, found, self.sizes.get(found))
        return None
