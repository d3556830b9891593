"""The recipes ``fashionModel`` and ``editModel``: pictures of the model library."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from imagemill.domain import images
from imagemill.domain.air import parse
from imagemill.domain.clock import random_below, random_bytes
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import MAX_SEED, ImageSpec
from imagemill.domain.moderation import PromptTexts
from imagemill.media.postprocess import PostProcess
from imagemill.media.transforms import Role
from imagemill.products.library.grid import PARAMETERS, Cell, list_cells
from imagemill.products.library.records import LibraryEntry
from imagemill.products.library.settings import DEFAULT_MODEL
from imagemill.recipes.base import Plan, Recipe, ResourceResolver
from imagemill.recipes.text_to_image import PUBLIC_RATE

THUMBNAIL_PX = 256
"""Longer side of a thumbnail in pixels, for a row in a list of models."""
_SAMPLER = images.find("Euler") or images.DEFAULT
_FLUX_GUIDANCE = 3.5
_CFG_SCALE = 7.0
_TEMPLATES = frozenset(cell.template_id for cell in list_cells())


def _choice_type(name: str) -> Any:
    values = PARAMETERS[name]

    def check(value: str) -> str:
        if value not in values:
            raise ValueError(f"is {value[:40]!r}; allowed are {', '.join(values)}")
        return value

    return Annotated[
        str, AfterValidator(check), Field(max_length=50, json_schema_extra={"enum": list(values)})
    ]


def _check_template(value: str) -> str:
    if value and value not in _TEMPLATES:
        raise ValueError("is not a template id of the library")
    return value


class Parameters(BaseModel):
    """The parameters of a fashion model."""

    model_config = ConfigDict(defer_build=True, extra="forbid")

    gender: _choice_type("gender")  # pyright: ignore[reportInvalidTypeForm] - a type made of the closed set
    age_range: _choice_type("age_range")  # pyright: ignore[reportInvalidTypeForm]
    body_type: _choice_type("body_type")  # pyright: ignore[reportInvalidTypeForm]
    pose: _choice_type("pose")  # pyright: ignore[reportInvalidTypeForm]
    style: _choice_type("style")  # pyright: ignore[reportInvalidTypeForm]

    @property
    def cell(self) -> Cell:
        return Cell(**{name: getattr(self, name) for name in PARAMETERS})


class FashionModel(Parameters):
    model: str = Field(
        DEFAULT_MODEL,
        description="The checkpoint's AIR or file; when absent, a FLUX.1 one that is there, else another.",
    )
    model_path: str | None = Field(
        None, description="The model's file on a node; set when the job is accepted."
    )
    width: int = Field(768, ge=64, le=4096, description="Width in pixels.")
    height: int = Field(1024, ge=64, le=4096, description="Height in pixels.")
    steps: int = Field(28, ge=1, le=150)
    seed: int | None = Field(
        None, ge=-1, le=MAX_SEED, description="Seed; -1 or absent draws one when the job is accepted."
    )
    save: bool = Field(
        True,
        description="Whether to save the picture in the library; if false, it is only stored with the job.",
    )
    mark: str = Field(
        "", max_length=32, description="Part of the file names; drawn when the job is accepted."
    )

    @property
    def template(self) -> str:
        return self.cell.template_id

    @property
    def text(self) -> str:
        return self.cell.prompt


class EditModel(FashionModel):
    """A new version of a model, with new parameters and the old one's template."""

    template_id: Annotated[str, AfterValidator(_check_template)] = Field(
        "", description="Template id; when absent, that of the parameters."
    )
    prompt: str = Field("", description="Prompt to use instead of the one built from the parameters.")
    image: str | None = Field(
        None, description="Source picture for image-to-image: data URL, URL, or blob:key."
    )
    denoise: float = Field(
        0.6, ge=0, le=1, allow_inf_nan=False, description="Denoising strength for the source picture."
    )
    edited: str = Field("", max_length=36, description="Id of the model from which this one is made.")

    @property
    def template(self) -> str:
        return self.template_id or self.cell.template_id

    @property
    def text(self) -> str:
        return self.prompt or self.cell.prompt


def complete(input_: FashionModel, resolver: ResourceResolver, path: str) -> FashionModel:
    checkpoint = (
        resolver.resource(f"{path}model", input_.model, kind="checkpoint")
        if "model" in input_.model_fields_set
        else resolver.default_checkpoint(f"{path}model", "flux1")
    )
    drawn = input_.seed is None or input_.seed < 0
    filled: dict[str, Any] = {
        "model": str(checkpoint.air),
        "model_path": checkpoint.path,
        "seed": random_below(MAX_SEED + 1) if drawn else input_.seed,
        "mark": random_bytes(8).hex(),
    }
    if isinstance(input_, EditModel):
        if input_.prompt and not input_.prompt.strip():
            raise InvalidInput.at(f"{path}prompt", "is empty")
        filled["image"] = resolver.picture(f"{path}image", input_.image) if input_.image else None
    return input_.model_copy(update=filled)


def plan(input_: FashionModel) -> Plan:
    spec = _image_spec(input_)
    return Plan(
        work=spec,
        outputs=1,
        size=(input_.width, input_.height),
        inputs={"image": input_.image} if isinstance(input_, EditModel) and input_.image else {},
        transform=PostProcess(thumbnail_px=THUMBNAIL_PX, prompt=input_.text),
        keys=_keys(input_) if input_.save else {},
        record=_library_entry(input_, spec) if input_.save else None,
    )


def _image_spec(input_: FashionModel) -> ImageSpec:
    air = parse(input_.model)
    is_flux = air.family == "flux1"
    edits = isinstance(input_, EditModel) and input_.image is not None
    return ImageSpec(
        prompt=input_.text,
        negative_prompt="",
        model=input_.model,
        model_path=input_.model_path or air.path,
        family=air.family,
        width=input_.width,
        height=input_.height,
        steps=input_.steps,
        cfg_scale=_FLUX_GUIDANCE if is_flux else _CFG_SCALE,
        sampler=_SAMPLER.sampler,
        scheduler=_SAMPLER.scheduler,
        seed=input_.seed or 0,
        image="image" if edits else None,
        denoise=input_.denoise if isinstance(input_, EditModel) and edits else 1.0,
    )


def _keys(input_: FashionModel) -> dict[Role, str]:
    """Return the blob keys. ``mark`` keeps jobs of the same millisecond, and owners, apart."""
    name = f"library/{input_.template}/{{ms}}-{input_.mark}"
    return {"picture": f"{name}.webp", "thumbnail": f"{name}-thumbnail.webp"}


def _library_entry(input_: FashionModel, spec: ImageSpec) -> LibraryEntry:
    metadata: dict[str, Any] = {
        "model": spec.model,
        "seed": spec.seed,
        "width": spec.width,
        "height": spec.height,
        "steps": spec.steps,
    }
    if isinstance(input_, EditModel):
        metadata["editOf"] = input_.edited or None
        if spec.image:
            metadata["denoise"] = spec.denoise
    return LibraryEntry(input_.template, **input_.cell.values, prompt=spec.prompt, metadata=metadata)


def get_texts(input_: FashionModel) -> PromptTexts:
    return PromptTexts(input_.text)


def replace_texts(input_: EditModel, texts: PromptTexts) -> EditModel:
    return input_.model_copy(update={"prompt": texts.prompt})


_PARAMETERS = {name: values[0] for name, values in PARAMETERS.items()}

FASHION_MODEL = Recipe(
    name="fashionModel",
    input=FashionModel,
    complete=complete,
    plan=plan,
    model=lambda input_: input_.model.lower(),
    rate=PUBLIC_RATE,
    get_texts=get_texts,
    summary="A picture of a fashion model from five parameters.",
    example=_PARAMETERS,
)
EDIT_MODEL = Recipe(
    name="editModel",
    input=EditModel,
    complete=complete,
    plan=plan,
    model=lambda input_: input_.model.lower(),
    rate=PUBLIC_RATE,
    get_texts=get_texts,
    replace_texts=replace_texts,
    prompt_field="prompt",
    summary="The next version of a fashion model, from other parameters, a prompt or its last picture.",
    example={**_PARAMETERS, "style": "editorial"},
)
