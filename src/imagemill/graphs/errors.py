"""What can be wrong with a graph, a workflow or what a node lists."""

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
"""Kinds of things a node may have or lack, as they stand in a sentence."""


class InvalidGraph(ImagemillError):
    """The text is no graph that could be sent; the message names the node and the remedy."""

    code = "invalid_graph"

    def __init__(self, message: str, node_id: str | None = None) -> None:
        super().__init__(message)
        self.node_id = node_id


class UiFormat(InvalidGraph):
    """A workflow as ComfyUI's canvas saves it, not a graph in API format."""


class CannotConvert(InvalidGraph):
    """A workflow in UI format that has no graph in API format, or none that can be told from here."""


class InvalidCatalogue(ImagemillError):
    """What a node said of its classes cannot be read."""

    code = "backend_unavailable"
    retryable = True


class InvalidWorkflow(ImagemillError):
    """A manifest that does not hold together; the message names the field."""

    code = "invalid_workflow"


class Unsupported(ImagemillError):
    """A request that no graph of core nodes can fulfil, on any node."""

    code = "backend_rejected"


class MissingFile(ImagemillError):
    """A file that the work needs and the node does not list."""

    code = "missing_model"

    def __init__(self, kind: str, wanted: str, remedy: str = "") -> None:
        self.kind = kind
        self.wanted = wanted
        sentence = f"{KIND_WORDS.get(kind, kind)} {wanted} is missing on the node"
        super().__init__(f"{sentence}: {remedy}" if remedy else sentence)
