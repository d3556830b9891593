"""What a worker has for recipes whose inputs are prepared: translations, colours, earlier pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagemill.domain.clock import now_us
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import Job
from imagemill.jobs.store.store import Store
from imagemill.media import palette
from imagemill.media.layout import BadPicture
from imagemill.media.palette import Palette
from imagemill.media.sandbox import DecodersBusy
from imagemill.media.transforms import Craft, Facts, Made
from imagemill.products.characters.prompts.translator import Translator
from imagemill.products.characters.prompts.types import Look, Setting, Sheet, Telling
from imagemill.products.characters.store import Which


@dataclass(frozen=True, slots=True)
class Workbench:
    """Of a process. ``craft`` runs in a confined process."""

    store: Store
    translator: Translator
    load: Callable[[str], bytes]
    craft: Callable[[Craft, bytes, Facts], Sequence[Made]]

    def tools(self, job: Job) -> "JobTools":
        return JobTools(self, job.owner)


@dataclass(frozen=True, slots=True)
class JobTools:
    """`imagemill.recipes.base.Tools` of one job."""

    bench: Workbench
    owner: str

    def look(self, sheet: Sheet) -> Look:
        return self.bench.translator.look(sheet)

    def scene(self, telling: Telling) -> Setting:
        return self.bench.translator.scene(telling)

    def palette(self, source: str) -> Palette:
        facts = Facts("", 0, now_us(), None, "", "")
        try:
            return palette.read(self.bench.craft(palette.measured, self.bench.load(source), facts))
        except BadPicture as error:
            raise BackendError(FailureCode.BAD_INPUT, f"the reference picture {error}") from error
        except DecodersBusy as error:
            raise BackendError(FailureCode.BACKEND_UNAVAILABLE, str(error)) from error

    def avatar(self, character_id: str) -> str | None:
        which = Which(self.owner, character_id, "avatar", is_active=True, limit=1)
        return next((image.image_key for image in self.bench.store.characters.images(which)), None)
