"""The rows of the table of model families: the nodes, files and defaults of each family and variant.

A row is written in TOML. Inputs of nodes that begin with ``$`` are filled in by the builder, see `SLOTS`.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from imagemill.graphs.files import MODEL_FILES
from imagemill.graphs.json_access import is_object

Value = bool | int | float | str
Form = Literal["checkpoint", "separate"]
"""A model with text encoders and VAE in one file, or a diffusion model in a file of its own."""
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=400)]

SLOTS = frozenset(
    {
        # Of the request.
        "width", "height", "count", "steps", "cfg", "guidance", "sampler", "scheduler", "seed", "denoise",
        "length", "fps",
        # Links to other nodes of the graph.
        "model", "second_model", "clip", "vae", "positive", "negative", "plain_negative", "latent", "image",
        "mask", "reference",
        # Of one ControlNet.
        "control", "map", "strength", "start", "end",
    }
)  # fmt: skip
"""The values of inputs, written ``$width``, that the builder fills in; an input whose value is absent in the
request is left out. ``$plain_negative`` is the negative conditioning before reference pictures are added."""

_SEPARATORS = re.compile(r"[ ._-]+(?![^\[]*\])")
"""The signs between words of a name; not those of a pattern's set such as ``[0-9]``."""


def normalise_name(name: str) -> str:
    """Return a file's name without folder and extension, in lower case, with ``_`` for all separators."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1].lower()
    extension = next((each for each in MODEL_FILES if base.endswith(each)), "")
    return _SEPARATORS.sub("_", base.removesuffix(extension))


def matches(patterns: tuple[str, ...], name: str) -> bool:
    """Whether a normalised name fits one of the patterns and none that begins with ``!``."""
    wanted = [_SEPARATORS.sub("_", each) for each in patterns if not each.startswith("!")]
    excluded = [_SEPARATORS.sub("_", each[1:]) for each in patterns if each.startswith("!")]
    return any(fnmatchcase(name, each) for each in wanted) and not any(
        fnmatchcase(name, each) for each in excluded
    )


class Row(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, str_strip_whitespace=True, defer_build=True
    )


class NodeRow(Row):
    """A node of the graph: ``{ node = "ModelSamplingAuraFlow", shift = 3.0 }``."""

    node: Text
    inputs: Mapping[str, Value] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather_inputs(cls, raw: Any) -> Any:
        if isinstance(raw, str):
            return {"node": raw}
        if not is_object(raw) or "inputs" in raw:
            return raw
        own = {name: value for name, value in raw.items() if name in cls.model_fields}
        return {**own, "inputs": {name: value for name, value in raw.items() if name not in own}}

    @model_validator(mode="after")
    def _check_slots(self) -> Self:
        for name, value in self.inputs.items():
            if isinstance(value, str) and value.startswith("$") and value[1:] not in SLOTS:
                known = ", ".join(f"${slot}" for slot in sorted(SLOTS))
                raise ValueError(f"{name} is {value!r}, which is none of {known}")
        return self

    @property
    def slots(self) -> frozenset[str]:
        """The slots that its inputs name."""
        values = (value for value in self.inputs.values() if isinstance(value, str))
        return frozenset(value[1:] for value in values if value.startswith("$"))


class PatchRow(NodeRow):
    """A node that takes and gives the model; its input ``model`` is linked by the builder."""

    only: Literal["", "sampler", "sigmas"] = ""
    """Where the patched model is used, if not everywhere."""


class FileRow(Row):
    """A file beside the model: a text encoder or a VAE."""

    name: Text
    """The name under which it is published."""
    match: tuple[Text, ...] = ()
    """Patterns of names, the preferred first; one with ``!`` excludes."""

    @property
    def patterns(self) -> tuple[str, ...]:
        return self.match or (f"{normalise_name(self.name)}*",)

    def choose(self, listed: tuple[str, ...]) -> str | None:
        """The listed file that fits the first pattern any file fits; the exact name comes first."""
        names = {each: normalise_name(each) for each in listed}
        excluded = tuple(each for each in self.patterns if each.startswith("!"))
        wanted = [each for each in self.patterns if not each.startswith("!")]
        for pattern in (normalise_name(self.name), *wanted):
            for each, name in names.items():
                if matches((pattern, *excluded), name):
                    return each
        return None


class TextEncoderRow(Row):
    loader: Literal["CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader", "QuadrupleCLIPLoader"]
    type: str = ""
    """The loader's ``type``; empty where it has none."""
    files: tuple[FileRow, ...] = Field(min_length=1, max_length=4)
    patches: tuple[NodeRow, ...] = ()
    """Nodes that take and give the text encoder; their input ``clip`` is linked by the builder."""

    @model_validator(mode="after")
    def _check_count(self) -> Self:
        wanted = _ENCODER_FILES[self.loader]
        if len(self.files) != wanted:
            raise ValueError(f"{self.loader} takes {wanted} files, not {len(self.files)}")
        return self

    @property
    def inputs(self) -> tuple[str, ...]:
        """The loader's inputs for its files."""
        if self.loader == "CLIPLoader":
            return ("clip_name",)
        return tuple(f"clip_name{number + 1}" for number in range(len(self.files)))


_ENCODER_FILES = {"CLIPLoader": 1, "DualCLIPLoader": 2, "TripleCLIPLoader": 3, "QuadrupleCLIPLoader": 4}


class EncodeRow(Row):
    """The node that makes conditioning of a prompt."""

    node: Text = "CLIPTextEncode"
    text: Text = "text"
    """Its input for the prompt."""
    negative: str = ""
    """Its input for the negative prompt, where one node makes both conditionings."""
    images: tuple[Text, ...] = ()
    """Its inputs for reference pictures."""
    inputs: Mapping[str, Value] = {}
    gives_latent: bool = False
    """Whether its third output is the latent that is sampled."""


class GuidanceRow(Row):
    """Distilled guidance by FluxGuidance."""

    value: float = Field(ge=0, le=100)
    on: tuple[Literal["positive", "negative"], ...] = ("positive",)
    replaces_cfg: bool = True
    """Whether a request's CFG scale means this guidance, and the model is sampled without CFG."""


class ReferenceRow(Row):
    """Reference pictures, and how the model sees them."""

    max: int = Field(ge=1, le=16)
    required: bool = False
    """Whether the model can only change pictures."""
    by: Literal["latents", "encode", "node"] = "latents"
    """``latents``: ReferenceLatent; ``encode``: inputs of the encode node; ``node``: inputs of a node."""
    node: NodeRow | None = None
    """The node that takes both conditionings and the pictures, named ``images.image_1`` and so on."""
    on: tuple[Literal["positive", "negative"], ...] = ("positive", "negative")
    scale: NodeRow | None = None
    """The node that scales a picture; its input is ``$reference``."""
    scales: Literal["all", "first", "size"] = "all"
    """The pictures that are scaled; ``size``: only the one whose size an empty latent gets."""
    method: str = ""
    """The method of FluxKontextMultiReferenceLatentMethod; empty means none."""
    latent: Literal["empty", "first"] = "empty"
    """Without a size in the request: an empty latent of the first picture's size, or that picture encoded."""
    patches: tuple[PatchRow, ...] = ()
    """Further nodes for the model when there are pictures."""


class ControlRow(Row):
    """A way to guide the picture by a control map."""

    loader: Literal["ControlNetLoader", "ModelPatchLoader"] = "ControlNetLoader"
    apply: NodeRow = NodeRow(
        node="ControlNetApplyAdvanced",
        inputs={
            "positive": "$positive",
            "negative": "$negative",
            "control_net": "$control",
            "image": "$map",
            "strength": "$strength",
            "start_percent": "$start",
            "end_percent": "$end",
        },
    )
    """The node that takes and gives both conditionings, or the model where it names ``$model``."""
    vae: bool = False
    """Whether the node also takes the VAE."""
    match: tuple[Text, ...] = ()
    """Patterns of the names of published models for this family."""


class SamplingRow(Row):
    """``ksampler``: KSampler; ``guided``: SamplerCustomAdvanced with a guider; ``custom``: SamplerCustom."""

    kind: Literal["ksampler", "guided", "custom"] = "ksampler"
    guider: NodeRow | None = None
    sigmas: NodeRow = NodeRow(
        node="BasicScheduler",
        inputs={"model": "$model", "scheduler": "$scheduler", "steps": "$steps", "denoise": "$denoise"},
    )
    sampler: NodeRow = NodeRow(node="KSamplerSelect", inputs={"sampler_name": "$sampler"})

    @model_validator(mode="after")
    def _check_guider(self) -> Self:
        if (self.kind == "guided") != (self.guider is not None):
            raise ValueError("guider goes with kind = 'guided', and only with it")
        return self


class SizeRow(Row):
    """The size that pictures have by default, in pixels."""

    width: int = Field(ge=64, le=4096)
    height: int = Field(ge=64, le=4096)
    multiple: int = Field(8, ge=1, le=128)
    """Both sides are rendered as multiples of it, and cropped to what was asked for."""

    @property
    def area(self) -> int:
        return self.width * self.height


class VideoRow(Row):
    length: int = Field(ge=1, le=2000)
    """Frames by default."""
    length_step: int = Field(ge=1, le=64)
    """The number of frames is a multiple of it, plus one."""
    max_length: int = Field(ge=1, le=2000)
    fps: float = Field(gt=0, le=120)


class AcceleratorRow(Row):
    """Defaults with a LoRA that makes fewer steps do."""

    match: tuple[Text, ...] = Field(min_length=1)
    """Patterns of the LoRA's file name."""
    steps: int = Field(ge=1, le=150)
    cfg: float = Field(ge=0, le=100)
    sampler: str = ""
    scheduler: str = ""


class Variant(Row):
    """All facts of one variant of a family: its own, and those it shares with the others."""

    title: str = ""
    match: tuple[Text, ...] = ()
    """Patterns of file names that distinguish it; none: it is meant where no other one matches."""
    ecosystems: tuple[Text, ...] = ()
    """AIR ecosystems that mean this variant."""
    files: tuple[Text, ...] = ()
    """Names of published model files."""
    license: str = ""
    commercial: bool | None = None
    """Whether the licence allows commercial use without a fee; None: with conditions, or unknown."""
    loader: Literal["checkpoint", "diffusion_model"] = "diffusion_model"
    """The kind of file it is published as. Where a node lists a diffusion model among its checkpoints, the
    text encoders and the VAE are taken from the file."""
    second_model: FileRow | None = None
    """A further diffusion model that the negative side is sampled with."""
    text_encoder: TextEncoderRow | None = None
    brings_encoder: bool = True
    """Whether its checkpoints have text encoders in them."""
    vae: FileRow | None = None
    latent: NodeRow = NodeRow(node="EmptyLatentImage")
    """The empty latent; without inputs it gets width, height and batch_size."""
    latent_of_image: NodeRow | None = None
    """A node that takes both conditionings, which the builder links, and the source picture, and gives both
    conditionings and the latent."""
    size: SizeRow = SizeRow(width=1024, height=1024, multiple=8)
    video: VideoRow | None = None
    patches: tuple[PatchRow, ...] = ()
    encode: EncodeRow = EncodeRow()
    encode_references: EncodeRow | None = None
    """The encode node when there are reference pictures, if it is another one."""
    conditioning: tuple[NodeRow, ...] = ()
    """Nodes that take and give both conditionings; these inputs are linked by the builder."""
    negative: Literal["text", "zero_at_cfg_1", "zero", "none"] = "text"
    """The negative conditioning: a text, zeros at a CFG scale of 1 or always, or none at all."""
    guidance: GuidanceRow | None = None
    references: ReferenceRow | None = None
    mask: bool = True
    """Whether a mask can limit what is drawn."""
    needs_mask: bool = False
    """Whether the model only fills masks."""
    source: bool = True
    """Whether it can start from a source picture."""
    controls: tuple[ControlRow, ...] = ()
    lora: Literal["LoraLoader", "LoraLoaderModelOnly"] = "LoraLoaderModelOnly"
    clip_skip: bool = False
    hypernetworks: bool = False
    sampling: SamplingRow = SamplingRow()
    latent_patches: tuple[NodeRow, ...] = ()
    """Nodes between the sampler and the decoder; their input ``samples`` is linked by the builder."""
    steps: int = Field(20, ge=1, le=150)
    cfg: float = Field(7.0, ge=0, le=100)
    sampler: str = "euler"
    scheduler: str = "simple"
    normal_means_default: bool = False
    """Whether ``normal``, which clients send for no scheduler, stands for its own one."""
    accelerators: tuple[AcceleratorRow, ...] = ()
    template: str = ""
    """ComfyUI's official template with the same nodes and values."""
    edit_template: str = ""
    """The template with reference pictures."""
    newer: bool = False
    """Whether it needs nodes that ComfyUI 0.33 does not have."""

    def encoder(self, form: Form) -> TextEncoderRow | None:
        """The text encoder that is loaded beside a model of this form."""
        return None if form == "checkpoint" and self.brings_encoder else self.text_encoder

    @property
    def default_cfg(self) -> float:
        """The CFG scale of a request that names none: the guidance, where that takes its place."""
        replaced = self.guidance is not None and self.guidance.replaces_cfg
        return self.guidance.value if self.guidance is not None and replaced else self.cfg

    @property
    def is_discrete(self) -> bool:
        """Whether it is one of Stable Diffusion 1, 2 and XL, whose usual scheduler is ``normal``."""
        return self.clip_skip

    @property
    def needs_reference(self) -> bool:
        """Whether it only changes pictures."""
        return self.references is not None and self.references.required


class Family(Row):
    """A model architecture with its variants; the first variant is the default one."""

    name: Name
    title: Text
    kind: Literal["image", "video"] = "image"
    ecosystems: tuple[Text, ...] = ()
    """AIR ecosystems of its models, in lower case."""
    match: tuple[Text, ...] = ()
    """Patterns of the names of its model files."""
    variants: Mapping[Name, Variant] = Field(min_length=1)

    @property
    def default(self) -> str:
        """The name of the variant that is meant where nothing distinguishes one."""
        unnamed = (name for name, variant in self.variants.items() if not variant.match)
        return next(unnamed, next(iter(self.variants)))

    def variant_of(self, *names: str, ecosystem: str = "") -> str:
        """Return the variant that file names or titles, else the ecosystem, suggest; else the default."""
        for name in map(normalise_name, names):
            for key, variant in self.variants.items():
                if variant.match and matches(variant.match, name):
                    return key
        of_ecosystem = (key for key, one in self.variants.items() if ecosystem.lower() in one.ecosystems)
        return next(of_ecosystem, self.default)
