"""The tools of a worker for preparing inputs: translations, colours, earlier pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagemill.domain.clock import now_us
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import Job
from imagemill.jobs.store.store import Store
from imagemill.media import palette
from imagemill.media.layout import InvalidImage
from imagemill.media.palette import Palette
from imagemill.media.sandbox import DecodersBusy
from imagemill.media.transforms import ImageTransform, OutputFile, TransformContext
from imagemill.products.characters.prompts.translator import Translator
from imagemill.products.characters.prompts.types import (
    Appearance,
    CharacterSheet,
    SceneDescription,
    StoryContext,
)
from imagemill.products.characters.store import ImageFilter


@dataclass(frozen=True, slots=True)
class CharacterTools:
    """The tools of a process. ``transform`` runs in the confined decoder process."""

    store: Store
    translator: Translator
    load: Callable[[str], bytes]
    transform: Callable[[ImageTransform, bytes, TransformContext], Sequence[OutputFile]]

    def tools(self, job: Job) -> "JobTools":
        return JobTools(self, job.owner)


@dataclass(frozen=True, slots=True)
class JobTools:
    """`imagemill.recipes.base.Tools` of one job."""

    shared: CharacterTools
    owner: str

    def look(self, sheet: CharacterSheet) -> Appearance:
        return self.shared.translator.look(sheet)

    def scene(self, story: StoryContext) -> SceneDescription:
        return self.shared.translator.scene(story)

    def palette(self, source: str) -> Palette:
        context = TransformContext("", 0, now_us(), None, "", "")
        try:
            return palette.read(self.shared.transform(palette.measured, self.shared.load(source), context))
        except InvalidImage as error:
            raise BackendError(FailureCode.BAD_INPUT, f"the reference picture {error}") from error
        except DecodersBusy as error:
            raise BackendError(FailureCode.BACKEND_UNAVAILABLE, str(error)) from error

    def avatar(self, character_id: str) -> str | None:
        wanted = ImageFilter(self.owner, character_id, "avatar", is_active=True, limit=1)
        return next((image.image_key for image in self.shared.store.characters.images(wanted)), None)
