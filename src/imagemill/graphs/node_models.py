"""The model files of a node, by kind, as its core loaders list them."""

from collections.abc import Iterator, Mapping
from dataclasses import field

from imagemill.domain.dataclass import dataclass
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.file_metadata import NO_METADATA, FileMetadata
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
"""Kind of model -> ComfyUI's folders of it, one for each of its `LOADERS`."""


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
    folder: str = ""
    """ComfyUI's folder of it, such as ``diffusion_models``."""
    metadata: FileMetadata = NO_METADATA
    """The facts of its header; empty until it is read."""


@dataclass(frozen=True, slots=True)
class NodeModels:
    """The models of one node; ``catalogue`` None means that it has not been read yet."""

    node: str
    catalogue: Catalogue | None
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    """File -> bytes."""
    metadata: Mapping[tuple[str, str], FileMetadata] = field(
        default_factory=dict[tuple[str, str], FileMetadata]
    )
    """(folder, file) -> facts of its header, as far as they have been read."""

    def files(self) -> Iterator[NodeFile]:
        """Yield the files, checkpoints first. ComfyUI lists built-in VAEs as names without an extension."""
        for kind in LOADERS:
            seen: set[str] = set()
            for folder, name in self._listed(kind):
                if name not in seen and has_model_extension(name):
                    seen.add(name)
                    yield self._file(kind, folder, name)

    def _listed(self, kind: str) -> Iterator[tuple[str, str]]:
        """Yield folder and name of each file that the core loaders of a kind list."""
        if self.catalogue is None:
            return
        for (class_type, input_), folder in zip(LOADERS[kind], FOLDERS[kind], strict=True):
            for name in self.catalogue.options(class_type, input_) or ():
                yield folder, name

    def _file(self, kind: str, folder: str, name: str) -> NodeFile:
        metadata = self.metadata.get((folder, name), NO_METADATA)
        return NodeFile(kind, name, self.sizes.get(name), folder, metadata)

    def find(self, kind: str, wanted: str) -> NodeFile | None:
        """The file of a name in any case, with or without its folder and extension; None if unknown."""
        if self.catalogue is None:
            return None
        for (class_type, input_), folder in zip(LOADERS[kind], FOLDERS[kind], strict=True):
            tried = [wanted] if has_model_extension(wanted) else [wanted + end for end in MODEL_FILES]
            for name in tried:
                found = self.catalogue.file(class_type, input_, name)
                if found is not None:
                    return self._file(kind, folder, found)
        return None
