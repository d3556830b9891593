"""What a picture should be, in words every backend understands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_SEED = 2**32 - 1
"""The largest seed the wire contract knows; a drawn seed is at most this."""


@dataclass(frozen=True, slots=True)
class Network:
    """An additional network: a LoRA, an embedding, a VAE, ... by AIR."""

    air: str
    type: str
    """lora, lycoris, embedding, hypernet, vae, checkpoint, controlnet, as in an AIR."""
    strength: float = 1.0
    trigger_word: str | None = None
    path: str | None = None
    """The file a node should have it in."""


@dataclass(frozen=True, slots=True)
class Control:
    """One ControlNet at work on the picture."""

    image: str
    """The control image's name in `Order.inputs`."""
    model: str = ""
    """The ControlNet's AIR; empty: the node's own for the preprocessor and family, found by its file name."""
    model_path: str = ""
    """The file a node should have it in."""
    preprocessor: str = ""
    """As the client named it; empty: the image is a control map already."""
    weight: float = 1.0
    start: float = 0.0
    """From this fraction of the steps ..."""
    end: float = 1.0
    """... to this one."""


@dataclass(frozen=True, slots=True)
class Upscale:
    """Enlarging the finished picture with an upscaler model."""

    model: str
    """The upscaler's AIR."""
    model_path: str
    """The file a node should have it in."""


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """One text-to-image, image-to-image or inpaint request: one seed, ``count`` pictures of one batch."""

    prompt: str
    negative_prompt: str
    model: str
    """The checkpoint's AIR."""
    model_path: str
    """The file a node should have it in."""
    family: str
    """sd1, sdxl, flux1, ..."""
    width: int
    height: int
    steps: int
    cfg_scale: float
    sampler: str
    """ComfyUI's sampler_name."""
    scheduler: str
    """ComfyUI's scheduler."""
    seed: int
    clip_skip: int = 0
    """0 or 1: none."""
    count: int = 1
    networks: tuple[Network, ...] = ()
    image: str | None = None
    """The source's name in `Order.inputs`: image-to-image. It is scaled and cropped to the picture's size."""
    mask: str | None = None
    """The mask's name in `Order.inputs`: inpaint where it is white. Needs ``image``."""
    denoise: float = 1.0
    """How much of the source is drawn anew, 0 to 1."""
    controls: tuple[Control, ...] = ()
    upscale: Upscale | None = None
    guidance: float | None = None
    """Flux's distilled guidance; None: ``cfg_scale``, or the model's own default where that is 0."""
    format: str = "png"
    """png, jpeg or webp. A backend that only saves PNG delivers that; see `imagemill.media.formats`."""
    background: str | None = None
    """``#rrggbb``: ask for one subject on a flat background of this colour."""
    faces: bool = False
    """Draw faces once more in detail, where the backend can."""


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """A raw ComfyUI graph in API format: node id -> {class_type, inputs}."""

    graph: Mapping[str, Any]
    count: int = 1
    seed: int | None = None
    models: tuple[str, ...] = field(default=())
    """Checkpoints the loaders name, in the order of the graph."""


Work = ImageSpec | GraphSpec


@dataclass(frozen=True, slots=True)
class Measure:
    """How much is asked for: what prices and limits count."""

    megapixels: float
    """Of one picture, in millions."""
    steps: int
    quantity: int = 1

    @property
    def pixels(self) -> float:
        """Of all pictures together, in millions."""
        return self.megapixels * self.quantity


_ASSUMED_MEGAPIXELS = 1.0
"""Of a graph that does not say its size."""
_LARGEST_SIDE = 16_384
"""ComfyUI's own bound of a latent's width and height."""


def measure(work: Work) -> Measure:
    if isinstance(work, ImageSpec):
        return Measure(work.width * work.height / 1e6, work.steps, work.count)
    inputs = [node["inputs"] for node in work.graph.values() if "inputs" in node]
    sizes = [
        _side(each, "width") * _side(each, "height") * (_side(each, "batch_size") or 1) for each in inputs
    ]
    steps = max((_side(each, "steps") for each in inputs), default=0)
    return Measure(max(sizes, default=0) / 1e6 or _ASSUMED_MEGAPIXELS, steps, work.count)


def _side(inputs: Mapping[str, Any], name: str) -> int:
    """A literal whole number of a graph's node; 0 where it is none, or comes from another node."""
    value = inputs.get(name)
    return value if type(value) is int and 0 < value <= _LARGEST_SIDE else 0


def render_cost_s(work: Work) -> float:
    """Expected seconds on one middling GPU, for fairness between owners; a guess, not a promise.

    1 s for 512 x 512 at 20 steps, growing with pixels and steps.
    """
    if isinstance(work, GraphSpec):
        return 4.0 * work.count
    pixels = work.width * work.height / (512 * 512)
    return max(0.05, pixels * work.steps / 20 * work.count)
