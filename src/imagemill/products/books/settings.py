"""Settings of personalised picture books."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from imagemill.products.books.book_manifest import TransferMode
from imagemill.products.books.facts import BookRules
from imagemill.settings import Listed, SettingsGroup

_ALL_MODES = tuple(TransferMode)


class BookSettings(SettingsGroup):
    """Personalised picture books."""

    photo_bytes: ClassVar[int] = 10 * 2**20
    """Largest photo in bytes: a good photo of a phone."""

    folder: Path | None = Field(
        default=None,
        description="Folder with a subfolder for each book, and the print profiles of your own in its "
        "subfolder profiles; none: the sample book that comes with the package is offered alone.",
    )
    profile: str | None = Field(
        default=None,
        max_length=63,
        description="Print profile of books, such as square-8-25in; none: the one that the book names.",
    )
    modes: Listed[TransferMode] = Field(
        default=_ALL_MODES,
        min_length=1,
        description="Ways in which a face gets onto a page, comma-separated, the preferred one first: edit, "
        "ipadapter, local. The first one that the installation has is taken.",
    )
    edit_model: str | None = Field(
        default=None,
        max_length=400,
        description="AIR or file name of the edit model that draws faces (mode edit); none: a model of "
        "Qwen-Image-Edit or FLUX.2 Klein that the nodes have.",
    )
    ipadapter_strength_scale: float = Field(
        default=1.0,
        gt=0,
        le=2,
        description="Factor of the weight 1.1 with which IPAdapter draws a face.",
    )
    allow_research_weights: bool = Field(
        default=False,
        description="Allow the mode ipadapter, whose InsightFace weights are licensed for research only.",
    )
    allow_kept_photos: bool = Field(
        default=False,
        description="Allow ComfyUI nodes that keep photos and pages on their disk.",
    )
    allow_noncommercial_models: bool = Field(
        default=False,
        description="Allow edit models whose licence forbids commercial use, for those who bought one.",
    )
    embedding_model: Path | None = Field(
        default=None,
        description="ONNX file of a face embedding, such as AuraFace or SFace; none: dlib's.",
    )
    identity_limit: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Identity score (0 to 1) below which a page is drawn again, and flagged at last.",
    )
    automatic_redraws: int = Field(
        default=2,
        ge=0,
        le=10,
        description="Most automatic redraws of a page whose identity score is below the limit.",
    )
    redraws: int = Field(default=3, ge=0, le=50, description="Redraws of a page that a client may ask for.")
    photo_days: float = Field(
        default=30.0,
        gt=0,
        le=30,
        description="Days after which a photo is deleted at the latest.",
    )
    delete_photo_at_approval: bool = Field(
        default=True, description="Delete the photo once the book is approved for print."
    )
    change_window_h: float = Field(
        default=24.0,
        ge=0,
        le=24 * 365,
        description="Hours after the first approval in which pages may still change.",
    )
    icc_profile: Path | None = Field(
        default=None,
        description="ICC profile file of the output intent, for print profiles that ask for PDF/X-4.",
    )
    external_vision: bool = Field(
        default=False,
        description="Send photos to a vision model outside this machine and the private network.",
    )

    @property
    def rules(self) -> BookRules:
        return BookRules(
            identity_limit=self.identity_limit,
            automatic_redraws=self.automatic_redraws,
            redraws=self.redraws,
            photo_days=self.photo_days,
            delete_photo_at_approval=self.delete_photo_at_approval,
            change_window_h=self.change_window_h,
        )
