"""Render specifications that every backend understands, their size and cost, and the table of samplers."""

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Literal

from imagemill.domain.dataclass import dataclass

MAX_SEED = 2**32 - 1
"""The largest seed of a text-to-image request, and the largest that is drawn. Seeds in ComfyUI graphs may be
larger; see `imagemill.graphs.graph.SEEDS`."""


@dataclass(frozen=True, slots=True)
class Network:
    """An additional network: a LoRA, an embedding, a VAE, ... by AIR."""

    air: str
    type: str
    """Type as in an AIR: lora, lycoris, embedding, hypernet, vae, checkpoint or controlnet."""
    strength: float = 1.0
    trigger_word: str | None = None
    path: str | None = None
    """Path of the file in which a node should have it."""


@dataclass(frozen=True, slots=True)
class Control:
    """One ControlNet that guides the picture."""

    image: str
    """The control image's name in `RenderRequest.inputs`."""
    model: str = ""
    """The ControlNet's AIR. When empty, the node's own one for the preprocessor and family is used, found by
    its file name."""
    model_path: str = ""
    """Path of the file in which a node should have the model."""
    preprocessor: str = ""
    """The preprocessor as the client named it; empty when the image already is a control map."""
    weight: float = 1.0
    start: float = 0.0
    """Fraction of the steps at which it starts to take effect."""
    end: float = 1.0
    """Fraction of the steps at which its effect ends."""


@dataclass(frozen=True, slots=True)
class Upscale:
    """Enlargement of the finished picture by an upscaler model."""

    model: str
    """The upscaler's AIR."""
    model_path: str
    """Path of the file in which a node should have the model."""


@dataclass(frozen=True, slots=True)
class VideoLength:
    """The length of a video that is made instead of a picture."""

    frames: int
    fps: float
    """Frames per second."""


@dataclass(frozen=True, slots=True)
class RemoteCall:
    """The request for a model of another vendor, which a remote service runs and no node can."""

    path: str
    """The endpoint's path at the service."""
    arguments: Mapping[str, Any]
    """The endpoint's own arguments beside the prompts. A text ``{NAME}`` stands for a picture's URL."""
    pictures: tuple[str, ...] = ()
    """The names of its pictures in `RenderRequest.inputs`."""
    cost_factor: float = 1.0
    """Times the endpoint's price, as for a higher resolution."""


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """One text-to-image, image-to-image, inpaint or edit request: one seed, ``count`` pictures of a batch."""

    prompt: str
    negative_prompt: str
    model: str
    """The checkpoint's AIR."""
    model_path: str
    """Path of the file in which a node should have the checkpoint."""
    family: str
    """Model family: sd1, sdxl, flux1, ...; or the ecosystem of its AIR."""
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
    """CLIP skip; 0 and 1 mean none."""
    count: int = 1
    networks: tuple[Network, ...] = ()
    image: str | None = None
    """The source picture's name in `RenderRequest.inputs`, for image-to-image. The source is scaled and
    cropped to the picture's size."""
    mask: str | None = None
    """The mask's name in `RenderRequest.inputs`, for inpainting where it is white. Needs ``image``."""
    denoise: float = 1.0
    """Denoising strength for the source picture, 0 to 1."""
    controls: tuple[Control, ...] = ()
    upscale: Upscale | None = None
    guidance: float | None = None
    """Flux's distilled guidance; None means ``cfg_scale``, or the model's default where that is 0."""
    format: str = "png"
    """png, jpeg or webp. A backend that only saves PNG delivers that; see `imagemill.media.postprocess`."""
    background: str | None = None
    """``#rrggbb`` of a flat background behind one subject; None means no such background."""
    faces: bool = False
    """Whether faces are redrawn in detail, where the backend can."""
    cutout: bool = False
    """Whether the backend removes the background, where it can."""
    variant: str = ""
    """Variant of the family, such as turbo; empty means the one that the file's name tells."""
    references: tuple[str, ...] = ()
    """Names in `RenderRequest.inputs` of pictures to change or to take subjects from, the main one first."""
    size_of_reference: bool = False
    """Whether the picture gets the size of the first reference picture, as far as the model allows."""
    video: VideoLength | None = None
    """The length, where a video is made, with ``image`` as its first frame if there is one."""
    remote: RemoteCall | None = None
    """The request of a model that only a remote service has; the other fields are for prices only, but the
    prompts and the seed."""


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """A raw ComfyUI graph in API format: node id -> {class_type, inputs}."""

    graph: Mapping[str, Any]
    seed: int | None = None
    models: tuple[str, ...] = field(default=())
    """Checkpoints that the graph's loaders name, in the graph's order."""


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """Work without a GPU: a worker does it itself, on the CPU or with a language model."""

    task: str
    """The name of the task; see `imagemill.backends.builtin.handlers.TASKS`."""
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """JSON values. Pictures are named as in `RenderRequest.inputs`."""

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"the task {self.task}"


@dataclass(frozen=True, slots=True)
class PageSpec:
    """Work on pictures and documents that runs on the CPU of a worker, in a child process of the press."""

    name: str
    """A name for messages, traces and metrics, such as ``bookPage``."""
    work: Callable[[Mapping[str, bytes]], object]
    """A `imagemill.media.page_work.PageWork`."""
    megapixels: float = 0.0
    """Millions of pixels of one page."""
    pages: int = 1

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"the page work {self.name}"


WorkerSpec = TaskSpec | PageSpec
"""Work that a worker process does itself, without a node."""

RenderSpec = ImageSpec | GraphSpec | WorkerSpec

WorkKind = Literal["pictures", "tasks", "pages"]
"""The kinds of work, by who does it: nodes and providers, any worker, or a worker's press."""


def kind_of(work: RenderSpec) -> WorkKind:
    match work:
        case TaskSpec():
            return "tasks"
        case PageSpec():
            return "pages"
        case ImageSpec() | GraphSpec():
            return "pictures"


_ASSUMED_STEPS = 20
"""Steps of a graph without a sampler."""
PAGE_STEPS = 1
"""Steps of a page, for prices and the fair order: 0.2 s a megapixel."""


@dataclass(frozen=True, slots=True)
class RenderSize:
    """The size of a render; prices and quotas count it."""

    megapixels: float
    """Millions of pixels of one picture."""
    steps: int
    quantity: int = 1

    @property
    def pixels(self) -> float:
        """Millions of pixels of all pictures together."""
        return self.megapixels * self.quantity


def render_cost_s(size: RenderSize) -> float:
    """Return the estimated seconds on one mid-range GPU, for fairness between owners.

    It is 1 s for 512 x 512 at 20 steps, and grows with pixels and steps.
    """
    return max(0.05, size.pixels * 1e6 / (512 * 512) * (size.steps or _ASSUMED_STEPS) / _ASSUMED_STEPS)


# Samplers: Civitai's scheduler names, with their equivalents in ComfyUI and stable-diffusion.cpp


@dataclass(frozen=True, slots=True)
class Sampler:
    """A row of the table: the v1 and v2 spelling, ComfyUI's sampler and scheduler, the sdcpp method and
    schedule.

    ComfyUI has no ``plms``; civitai.com runs it as ``ddim``.
    """

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
"""The published v1 clients know exactly the first 24 rows; civitai.com itself sent the others."""


def _parse_row(position: int, line: str) -> Sampler:
    cells = [None if cell == "-" else cell for cell in line.split()]
    v1, v2, sampler, scheduler, method, schedule = cells
    if not (v1 and sampler and scheduler):
        raise ValueError(f"a row of the table lacks a name: {line}")
    return Sampler(v1, v2, sampler, scheduler, method, schedule, in_v1_enum=position < _V1_ENUM_SIZE)


SAMPLERS = tuple(_parse_row(i, line) for i, line in enumerate(_ROWS.strip().splitlines()))
DEFAULT = next(row for row in SAMPLERS if row.v1 == "Undefined")

_BY_NAME = {row.v1.lower(): row for row in SAMPLERS} | {row.v2.lower(): row for row in SAMPLERS if row.v2}


def find(name: str) -> Sampler | None:
    """Return the sampler with this v1 or v2 spelling, in any case."""
    return _BY_NAME.get(name.lower())


COMFY_SAMPLERS = (
    "euler", "euler_ancestral", "euler_cfg_pp", "euler_ancestral_cfg_pp", "heun", "heunpp2", "dpm_2",
    "dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral", "dpmpp_2s_ancestral_cfg_pp",
    "dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m", "dpmpp_2m_cfg_pp", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu",
    "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm", "lcm", "ipndm", "ipndm_v", "deis", "ddim", "uni_pc",
    "uni_pc_bh2", "res_multistep", "er_sde",
)  # fmt: skip
"""ComfyUI's samplers that requests may name."""
COMFY_SCHEDULES = (
    "normal", "karras", "exponential", "sgm_uniform", "simple", "ddim_uniform", "beta", "linear_quadratic",
    "kl_optimal",
)  # fmt: skip
"""ComfyUI's schedules of the steps' noise."""
SDCPP_METHODS = {
    "euler": "euler",
    "euler_a": "euler_ancestral",
    "heun": "heun",
    "dpm2": "dpm_2",
    "dpm++2s_a": "dpmpp_2s_ancestral",
    "dpm++2m": "dpmpp_2m",
    "dpm++2mv2": "dpmpp_2m",
    "ipndm": "ipndm",
    "ipndm_v": "ipndm_v",
    "ddim_trailing": "ddim",
    "lcm": "lcm",
    "res_multistep": "res_multistep",
    "res_2s": "res_multistep",
    "tcd": "lcm",
    "er_sde": "er_sde",
}
"""Sampler of stable-diffusion.cpp -> ComfyUI's sampler, the nearest one where it has no equal."""
SDCPP_SCHEDULES = {
    "simple": "simple",
    "discrete": "normal",
    "karras": "karras",
    "exponential": "exponential",
    "ays": "karras",
    "bong_tangent": "beta",
    "gits": "simple",
    "sgm_uniform": "sgm_uniform",
    "smoothstep": "beta",
    "kl_optimal": "kl_optimal",
    "lcm": "sgm_uniform",
}
"""Schedule of stable-diffusion.cpp -> ComfyUI's schedule, the nearest one where it has no equal."""

OLD_SAMPLERS = {"dpmpp_2": "dpm_2", "dpmpp_2_ancestral": "dpm_2_ancestral", "plms": "ddim"}
"""Names of samplers that clients still send and ComfyUI does not know -> the samplers that they mean."""


def repaired_sampler(name: str) -> str:
    """Return ComfyUI's name of a sampler that may be an old one; any other name unchanged."""
    return OLD_SAMPLERS.get(name.lower(), name)
