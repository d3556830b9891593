"""Errors in a graph, in a workflow, or in the files and classes of a node."""

from imagemill.domain.errors import ImagemillError

KIND_WORDS = {
    "checkpoint": "checkpoint",
    "lora": "LoRA",
    "vae": "VAE",
    "controlnet": "ControlNet",
    "control": "ControlNet for",
    "upscaler": "upscaler",
    "embedding": "embedding",
    "hypernet": "hypernetwork",
    "text_encoder": "text encoder",
    "companions": "text encoders and VAE for",
    "class": "node class",
    "file": "file",
}
"""Kinds of requirements a node may meet or not -> the words used in messages."""


class InvalidGraph(ImagemillError):
    """The text is not a usable graph; the message names the node and the remedy."""

    code = "invalid_graph"

    def __init__(self, message: str, node_id: str | None = None) -> None:
        super().__init__(message)
        self.node_id = node_id


class UiFormat(InvalidGraph):
    """A workflow in ComfyUI's UI format, as its canvas saves it, instead of a graph in API format."""


class CannotConvert(InvalidGraph):
    """A workflow in UI format that has no API format, or none that this node's catalogue can determine."""


class InvalidCatalogue(ImagemillError):
    """A node's description of its classes cannot be read."""

    code = "backend_unavailable"
    retryable = True


class InvalidWorkflow(ImagemillError):
    """A manifest that is inconsistent; the message names the field."""

    code = "invalid_workflow"


class Unsupported(ImagemillError):
    """A request that no graph of core nodes can fulfil on any node."""

    code = "backend_rejected"


class MissingFile(ImagemillError):
    """A file that the render needs and the node does not list."""

    code = "missing_model"

    def __init__(self, kind: str, wanted: str, remedy: str = "") -> None:
        self.kind = kind
        self.wanted = wanted
        sentence = f"{KIND_WORDS.get(kind, kind)} {wanted} is missing on the node"
        super().__init__(f"{sentence}: {remedy}" if remedy else sentence)
