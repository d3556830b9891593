"""The tools of a worker that prepare inputs: translations, colours, earlier pictures."""

from imagemill.domain.clock import now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.media import palette
from imagemill.media.layout import InvalidImage
from imagemill.media.palette import Palette
from imagemill.media.sandbox import DecodersBusy
from imagemill.media.transforms import TransformContext
from imagemill.products.characters.prompts.translator import Translator
from imagemill.products.characters.prompts.types import (
    Appearance,
    CharacterSheet,
    SceneDescription,
    StoryContext,
)
from imagemill.products.characters.prompts.wishes import Wish
from imagemill.products.characters.store import CharacterStore, ImageFilter
from imagemill.recipes.base import PrepareContext


@dataclass(frozen=True, slots=True)
class CharacterTools:
    """The preparation tools that all jobs of a process share."""

    store: CharacterStore
    translator: Translator

    def for_job(self, context: PrepareContext) -> "JobTools":
        return JobTools(self.store, self.translator, context)


@dataclass(frozen=True, slots=True)
class JobTools:
    """The preparation tools of one job."""

    store: CharacterStore
    translator: Translator
    context: PrepareContext

    def look(self, sheet: CharacterSheet) -> Appearance:
        return self.translator.look(sheet)

    def scene(self, story: StoryContext) -> SceneDescription:
        return self.translator.scene(story)

    def wish(self, text: str) -> Wish:
        return self.translator.wish(text)

    @property
    def bad_outputs(self) -> int:
        return self.context.bad_outputs

    def palette(self, source: str) -> Palette:
        context = TransformContext("", 0, now_us(), None, "", "")
        try:
            return palette.read(
                self.context.run_transform(
                    palette.measure_palette, self.context.load_picture(source), context
                )
            )
        except InvalidImage as error:
            raise BackendError(FailureCode.BAD_INPUT, f"the reference picture {error}") from error
        except DecodersBusy as error:
            raise BackendError(FailureCode.BACKEND_UNAVAILABLE, str(error)) from error

    def avatar(self, character_id: str) -> str | None:
        wanted = ImageFilter(self.context.owner, character_id, type="avatar", is_active=True, limit=1)
        return next((image.image_key for image in self.store.images(wanted)), None)
