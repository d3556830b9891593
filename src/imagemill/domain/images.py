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
    """png, jpeg or webp. A backend that only saves PNG delivers that; see `imagemill.media.postprocess`."""
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


RenderSpec = ImageSpec | GraphSpec


@dataclass(frozen=True, slots=True)
class RenderSize:
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


def measure(work: RenderSpec) -> RenderSize:
    if isinstance(work, ImageSpec):
        return RenderSize(work.width * work.height / 1e6, work.steps, work.count)
    inputs = [node["inputs"] for node in work.graph.values() if "inputs" in node]
    sizes = [
        _side(each, "width") * _side(each, "height") * (_side(each, "batch_size") or 1) for each in inputs
    ]
    steps = max((_side(each, "steps") for each in inputs), default=0)
    return RenderSize(max(sizes, default=0) / 1e6 or _ASSUMED_MEGAPIXELS, steps, work.count)


def _side(inputs: Mapping[str, Any], name: str) -> int:
    """A literal whole number of a graph's node; 0 where it is none, or comes from another node."""
    value = inputs.get(name)
    return value if type(value) is int and 0 < value <= _LARGEST_SIDE else 0


def render_cost_s(work: RenderSpec) -> float:
    """Expected seconds on one middling GPU, for fairness between owners; a guess, not a promise.

    1 s for 512 x 512 at 20 steps, growing with pixels and steps.
    """
    if isinstance(work, GraphSpec):
        return 4.0 * work.count
    pixels = work.width * work.height / (512 * 512)
    return max(0.05, pixels * work.steps / 20 * work.count)


# Civitai's scheduler names and what they mean to ComfyUI and stable-diffusion.cpp.
#
# One row a name: the v1 spelling, the v2 spelling, ComfyUI's sampler and scheduler, and the sdcpp method and
# schedule. ComfyUI has no ``plms``; civitai.com runs it as ``ddim``.


@dataclass(frozen=True, slots=True)
class Sampler:
    v1: str
    v2: str | None
    sampler: str
    scheduler: str
    sdcpp_method: str | None = None
    sdcpp_schedule: str | None = None
    in_v1_enum: bool = True


_ROWS = """
EulerA              eulerA        euler_ancestral       normal       euler_a        discrete
Euler               euler         euler                 normal       euler          discrete
LMS                 lms           lms                   normal       euler          discrete
Heun                heun          heun                  normal       heun           discrete
DPM2                dpM2          dpm_2                 normal       dpm2           discrete
DPM2A               dpM2A         dpm_2_ancestral       normal       dpm++2s_a      discrete
DPM2SA              dpM2SA        dpmpp_2s_ancestral    normal       dpm++2s_a      discrete
DPM2M               dpM2M         dpmpp_2m              normal       dpm++2m        discrete
DPMSDE              dpmsde        dpmpp_sde             normal       dpm++2mv2      discrete
DPMFast             dpmFast       dpm_fast              normal       euler          discrete
DPMAdaptive         dpmAdaptive   dpm_adaptive          normal       euler          discrete
LMSKarras           lmsKarras     lms                   karras       euler          karras
DPM2Karras          dpM2Karras    dpm_2                 karras       dpm2           karras
DPM2AKarras         dpM2AKarras   dpm_2_ancestral       karras       dpm++2s_a      karras
DPM2SAKarras        dpM2SAKarras  dpmpp_2s_ancestral    karras       dpm++2s_a      karras
DPM2MKarras         dpM2MKarras   dpmpp_2m              karras       dpm++2m        karras
DPMSDEKarras        dpmsdeKarras  dpmpp_sde             karras       dpm++2mv2      karras
DDIM                ddim          ddim                  normal       ddim_trailing  discrete
PLMS                plms          ddim                  normal       ddim_trailing  discrete
UniPC               uniPC         uni_pc                normal       dpm++2m        discrete
Undefined           undefined     dpmpp_2m              karras       dpm++2m        karras
LCM                 lcm           lcm                   normal       lcm            lcm
DDPM                ddpm          ddpm                  normal       -              -
DEIS                deis          deis                  normal       -              -
DPM3MSDE            dpM3MSDE      dpmpp_3m_sde          normal       dpm++2mv2      discrete
DPM2MSDE            -             dpmpp_2m_sde          normal       dpm++2mv2      discrete
DPM2MSDEKarras      -             dpmpp_2m_sde          karras       dpm++2mv2      karras
DPM3MSDEKarras      -             dpmpp_3m_sde          karras       dpm++2mv2      karras
DPM3MSDEExponential -             dpmpp_3m_sde          exponential  dpm++2mv2      exponential
"""

_V1_ENUM_SIZE = 24
"""The published v1 clients know exactly the first 24 rows; the others were sent by civitai.com."""


def _read(position: int, line: str) -> Sampler:
    cells = [None if cell == "-" else cell for cell in line.split()]
    v1, v2, sampler, scheduler, method, schedule = cells
    if not (v1 and sampler and scheduler):
        raise ValueError(f"a row of the table lacks a name: {line}")
    return Sampler(v1, v2, sampler, scheduler, method, schedule, in_v1_enum=position < _V1_ENUM_SIZE)


SAMPLERS = tuple(_read(i, line) for i, line in enumerate(_ROWS.strip().splitlines()))
DEFAULT = next(row for row in SAMPLERS if row.v1 == "Undefined")

_BY_NAME = {row.v1.lower(): row for row in SAMPLERS} | {row.v2.lower(): row for row in SAMPLERS if row.v2}


def find(name: str) -> Sampler | None:
    """By the v1 or the v2 spelling, in any case."""
    return _BY_NAME.get(name.lower())
