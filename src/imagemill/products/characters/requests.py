"""From requests of clients to job requests."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from fastapi import Request

from imagemill.api.base import Services
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, InvalidInput, NotFound, UnsupportedPicture, UnusablePicture
from imagemill.domain.jobs import Draft, JobStatus
from imagemill.jobs.store.submit import Accepted
from imagemill.jobs.submit import JobRequest
from imagemill.model_registry.registry import Registry
from imagemill.net import pools
from imagemill.products.characters.events import NewJobNotifier
from imagemill.products.characters.inputs import EMOTION, MOST_LORAS, PictureInput, SheetFields
from imagemill.products.characters.plans import words_without_tags
from imagemill.products.characters.prompts import sanitize
from imagemill.products.characters.prompts.scenes import EMOTIONS
from imagemill.products.characters.recipes import check_lora
from imagemill.products.characters.schemas import (
    AvatarRequest,
    CastMember,
    Character,
    CharacterLora,
    CoverFields,
    CoverRequest,
    Emotion,
    RenderOptions,
    SceneRequest,
    StickerRequest,
    StickersRequest,
    StoryMessage,
)
from imagemill.web.auth import caller
from imagemill.web.http import digest, idempotency_key, request_trace

SET = "stickerSet"
"""The rate of a sticker of a whole set."""
_EMOTION = re.compile(EMOTION)
Sheet = Mapping[str, Any]
"""A character in a recipe's input."""
Sheets = Mapping[str, Sheet]
"""Stored sheets by the id of the character."""
_STORE = "PUT /api/v1/image-generation/characters"
_NAMES: Mapping[str, tuple[str, ...]] = {
    "happy": ("feliz", "alegre", "contente", "contento", "contenta"),
    "sad": ("triste",),
    "angry": (
        *("raiva", "bravo", "brava", "zangado", "zangada", "irritado", "irritada", "furioso", "furiosa"),
        *("enojado", "enojada", "enfadado", "enfadada"),
    ),
    "surprised": ("surpreso", "surpresa", "sorprendido", "sorprendida", "sorpresa"),
    "neutral": ("neutro", "neutra"),
    "thinking": ("pensando", "pensativo", "pensativa"),
    "shy": ("timido", "timida", "envergonhado", "envergonhada", "avergonzado", "avergonzada"),
    "waving": ("acenando", "acenar", "tchau", "saludando", "saludo"),
}
_ENGLISH = {name: emotion for emotion, names in _NAMES.items() for name in names}
"""The eight emotions by their names in Portuguese and Spanish, without accents."""


def avatar(body: AvatarRequest, known: Sheets) -> JobRequest:
    sheet: Sheet | None = None
    if body.reference_image_url is None or body.character is not None or body.character_id in known:
        sheet = _sheet_of(body.character, body.character_id, known, "character")
    return _job_request(
        "avatar",
        body,
        character_id=body.character_id,
        character=sheet,
        prompt=body.prompt,
        reference=body.reference_image_url,
    )


def sticker(body: StickerRequest, known: Sheets) -> JobRequest:
    emotion, tag = _emotion("emotion", "actionTag", body.emotion, body.action_tag)
    return _job_request(
        "sticker",
        body,
        character_id=body.character_id,
        character=_sheet_of(body.character, body.character_id, known, "character"),
        emotion=emotion,
        action_tag=tag,
        custom_instructions=body.custom_instructions,
        reference=body.reference_image_url,
    )


def stickers(body: StickersRequest, priority: int, known: Sheets) -> Iterator[JobRequest]:
    """Yield a job request for each emotion, of lower priority. A whole set has its own price."""
    wanted = list(_emotions(body.emotions if body.emotions is not None else EMOTIONS))
    whole = {name for name, _ in wanted} >= set(EMOTIONS)
    for name, tag in wanted:
        yield _job_request(
            "sticker",
            body,
            priority=priority,
            rate=SET if whole and name in EMOTIONS else "",
            character_id=body.character_id,
            character=_sheet_of(body.character, body.character_id, known, "character"),
            emotion=name,
            action_tag=tag,
            custom_instructions=body.custom_instructions,
        )


def _emotions(items: Iterable[str | Emotion]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        path = f"emotions[{index}]"
        given = Emotion(emotion=item) if isinstance(item, str) else item
        name, tag = _emotion(path, f"{path}.actionTag", given.emotion, given.action_tag)
        if name in seen:
            raise InvalidInput.at(path, f"{name!r} is present twice; name each emotion once")
        seen.add(name)
        yield name, tag


def _emotion(path: str, tag_path: str, text: str, tag: str | None) -> tuple[str, str]:
    """Return the emotion, one of the eight in English, and its tag. Raises `InvalidInput`."""
    plain = unicodedata.normalize("NFKD", text.strip().lower())
    name = "".join(c for c in plain if unicodedata.category(c) != "Mn")
    name = _ENGLISH.get(name, name)
    if not _EMOTION.fullmatch(name):
        raise InvalidInput.at(path, f"is {text[:40]!r}; write 1 to 32 of a-z, 0-9, - and _")
    if name not in EMOTIONS and not (tag or "").strip():
        known = ", ".join(EMOTIONS)
        raise InvalidInput.at(tag_path, f"is required for {name!r}, which is none of {known}")
    return name, (tag or "").strip()


def cover(body: CoverFields, known: Sheets, *, story: str | None, character: str | None) -> JobRequest:
    """Return the job request of a cover of a story or of a character. Raises `InvalidInput`."""
    if (story is None) == (character is None):
        raise InvalidInput.at("storyId", "is required, or characterId for the cover of a character; not both")
    for name, text in (("title", body.title), ("synopsis", body.synopsis)):
        if story is not None and not text.strip():
            raise InvalidInput.at(name, "is required for the cover of a story")
    cast = body.characters or ([] if character is None else [CastMember(character_id=character, lora=None)])
    path = "characters" if body.characters else "characterId"
    return _job_request(
        "cover",
        body,
        story_id=story,
        character_id=character,
        title=body.title,
        synopsis=body.synopsis,
        characters=_cast(cast, known, path),
    )


def scene(body: SceneRequest, known: Sheets) -> JobRequest:
    context = body.context
    ids = {"chatId": body.chat_id, "storyId": body.story_id, "characterId": body.character_id}
    named = [name for name, id_ in ids.items() if id_ is not None]
    if len(named) > 1:
        raise InvalidInput.at(named[1], f"is given beside {named[0]}; a scene is kept with one of them")
    return _job_request(
        "scene",
        body,
        chat_id=body.chat_id,
        story_id=body.story_id,
        character_id=body.character_id,
        summary=context.summary,
        messages=[_message_text(message) for message in context.messages],
        characters=_cast(context.characters, known, "context.characters"),
        place=context.place,
        mood=context.mood,
        width=body.width,
        height=body.height,
    )


def characters_in(body: RenderOptions) -> frozenset[str]:
    """Return the ids of the characters whose stored sheets a request may need."""
    match body:
        case AvatarRequest() | StickerRequest() | StickersRequest():
            return frozenset({body.character_id})
        case SceneRequest():
            return _ids(body.context.characters)
        case CoverFields():
            own = body.character_id if isinstance(body, CoverRequest) else None
            return _ids(body.characters) | ({own} if own is not None else set())
        case _:
            return frozenset()


def _ids(cast: Iterable[CastMember]) -> frozenset[str]:
    return frozenset(each.character_id for each in cast if each.character_id is not None)


def _message_text(message: str | StoryMessage) -> str:
    if isinstance(message, str):
        return message
    return f"{message.author}: {message.text}" if message.author else message.text


def _job_request(
    recipe: str, body: RenderOptions, *, priority: int = 0, rate: str = "", **input_: Any
) -> JobRequest:
    """Return a job request. If equal requests share pictures, its seed is derived from its input."""
    given = {name: value for name, value in input_.items() if value is not None}
    drawn = body.seed is None or body.seed < 0
    if not body.reuse:
        return JobRequest(
            recipe, given if drawn else {**given, "seed": body.seed}, priority=priority, rate=rate
        )
    mark = digest({"recipe": recipe, **given, "seed": None if drawn else body.seed})
    seed = int(mark[:8], 16) if drawn else body.seed
    return JobRequest(
        recipe, {**given, "seed": seed}, priority=priority, rate=rate, unique_key=f"characters/{mark}"
    )  # fmt: skip


def _cast(found: Sequence[CastMember], known: Sheets, path: str) -> list[Sheet]:
    def at(index: int) -> str:
        return path if path == "characterId" else f"{path}[{index}]"

    return [_sheet_of(each, each.character_id, known, at(index)) for index, each in enumerate(found)]


def _sheet_of(given: Character | None, id_: str | None, known: Sheets, path: str) -> Sheet:
    """Return the sheet of a request, else the stored one. Raises `InvalidInput` when neither exists."""
    sheet = sheet_of(given, f"{path}.") or (known.get(id_) if id_ is not None else None)
    if sheet is not None:
        return sheet
    if id_ is None:
        raise InvalidInput.at(path, "is empty: describe the character, or name a stored one by characterId")
    raise InvalidInput.at(
        path, f"is required: no sheet of {id_!r} is stored; send it here, or store it by {_STORE}/{id_}"
    )


def sheet_of(found: Character | None, path: str) -> Sheet | None:
    """Return a request's sheet as a recipe has it; None for an empty one. Raises `InvalidInput`."""
    if found is None:
        return None
    sheet = found.model_dump(exclude={"lora", "character_id"}, exclude_defaults=True)
    sheet = {name: text for name, text in sheet.items() if text.strip()}
    given = found.lora if isinstance(found.lora, list) else [found.lora] if found.lora is not None else []
    if len(given) > MOST_LORAS:
        raise InvalidInput.at(f"{path}lora", f"names {len(given)} LoRAs; at most {MOST_LORAS} work together")
    if given:
        sheet["loras"] = [_lora(each) for each in given]
    return sheet or None


def checked_sheet(sheet: Sheet | None, registry: Registry) -> Sheet:
    """Return a sheet that can be stored. Raises `InvalidInput` for an empty one, and for unusable LoRAs."""
    if sheet is None:
        raise InvalidInput.at("character", "is empty: describe the character")
    for index, lora in enumerate(sheet.get("loras", ())):
        path = f"character.lora[{index}]"
        check_lora(path, registry.lookup(path, lora["air"]))
    return sheet


def as_requested(sheet: Sheet) -> Sheet:
    """Return a job's sheet as a request has it: without the files of its LoRAs."""
    kept = {name: value for name, value in sheet.items() if name in SheetFields.model_fields and value}
    if loras := sheet.get("loras"):
        names = ("air", "name", "strength")
        kept["loras"] = [{name: lora[name] for name in names if name in lora} for lora in loras]
    return kept


def _lora(given: str | CharacterLora) -> dict[str, Any]:
    lora = CharacterLora(air=given, name=None, strength=1.0) if isinstance(given, str) else given
    return {"air": lora.air, "name": lora.name or "", "strength": lora.strength}


NAME = "characters"
_FIELDS = {
    "reference": "referenceImageUrl",
    "character_id": "characterId",
    "story_id": "storyId",
    "chat_id": "chatId",
    "custom_instructions": "customInstructions",
    "action_tag": "actionTag",
}


@dataclass(frozen=True, slots=True)
class Submitted:
    """``jobs``: one for each job request, in order. ``reused``: existing jobs of equal requests."""

    batch: str
    jobs: tuple[str, ...]
    reused: frozenset[str]
    repeated: bool = False
    """Whether an idempotency key has been answered again."""
    untranslated: tuple[str, ...] | None = None
    """Words without a tag; None when a language model translates later."""


class CharacterSubmitter:
    """Submits job requests.

    ``reuse``: whether equal requests share pictures. ``has_language_model``: whether the worker translates by
    one, so that the words without a translation are not known yet.
    """

    def __init__(
        self, services: Services, arrivals: NewJobNotifier, *, reuse: bool, has_language_model: bool
    ) -> None:
        self._services = services
        self._arrivals = arrivals
        self._reuse = reuse
        self._has_language_model = has_language_model

    async def order(self, request: Request, job_requests: tuple[JobRequest, ...], body: Any) -> Submitted:
        """Submit job requests. Raises the errors of a submission, with this API's names of fields."""
        owner = caller(request).owner
        wanted = (
            job_requests
            if self._reuse
            else tuple(replace(job_request, unique_key="") for job_request in job_requests)
        )
        key = idempotency_key(request)
        drafts = await self.drafts(request, wanted)
        accepted = await self._accepted(owner, drafts, key, body)
        gone = await pools.read(self._without_pictures, accepted.duplicates)
        again = {draft.id for draft in drafts if draft.unique_key in gone}
        if again:
            # The pictures of some equal requests were deleted by now: these are made anew.
            fresh = [replace(draft, unique_key="") for draft in drafts if draft.id in again]
            await self._accepted(owner, tuple(fresh), None, body)
        self._arrivals.tell(owner)
        unknown = None if self._has_language_model else await pools.decode(self._untranslated, drafts)
        return replace(_ordered(drafts, accepted, again), untranslated=unknown)

    async def drafts(self, request: Request, job_requests: tuple[JobRequest, ...]) -> tuple[Draft, ...]:
        """Return the complete, checked and priced jobs, which are not stored. Raises like `order`."""
        # In a thread, since the glossary reads each sheet, which takes milliseconds.
        return await pools.read(self._drafts, caller(request).owner, job_requests, request_trace(request))

    def _untranslated(self, drafts: Iterable[Draft]) -> tuple[str, ...]:
        models = ((self._services.recipes[draft.recipe].input, draft.input) for draft in drafts)
        inputs = (cast("PictureInput", model.model_validate(input_)) for model, input_ in models)
        return sanitize.distinct(word for input_ in inputs for word in words_without_tags(input_))

    async def _accepted(self, owner: str, drafts: tuple[Draft, ...], key: str | None, body: Any) -> Accepted:
        submitter = self._services.submitter
        future = submitter.submit_async(owner, drafts, key=key, digest=digest(body) if key else "")
        accepted = await pools.result_of(future)
        if not accepted.jobs and not accepted.duplicates:
            raise Conflict(f"the jobs of the idempotency key {key!r} are gone; use another key")
        return accepted

    def _drafts(
        self, owner: str, job_requests: tuple[JobRequest, ...], trace: str | None
    ) -> tuple[Draft, ...]:
        try:
            return self._services.submitter.prepare(owner, job_requests, dialect=NAME, trace=trace)
        except (UnsupportedPicture, UnusablePicture) as error:
            # Fields are named as in this API, like in its other errors.
            raise InvalidInput(error.renamed(_renamed).errors) from error
        except InvalidInput as error:
            raise error.renamed(_renamed) from error

    def _without_pictures(self, taken: Mapping[str, str]) -> set[str]:
        """Return the unique keys of those jobs whose files were deleted."""
        gone: set[str] = set()
        for sole, job_id in taken.items():
            try:
                view = self._services.jobs.view(job_id)
            except NotFound:
                gone.add(sole)
                continue
            if view.job.status is JobStatus.SUCCEEDED and not all(each.available for each in view.artifacts):
                gone.add(sole)
        return gone


def _ordered(drafts: tuple[Draft, ...], accepted: Accepted, again: set[str]) -> Submitted:
    if accepted.repeated:
        return Submitted(accepted.batch, tuple(job.id for job in accepted.jobs), frozenset(), repeated=True)
    made = {job.id for job in accepted.jobs} | again
    jobs = tuple(draft.id if draft.id in made else accepted.duplicates[draft.unique_key] for draft in drafts)
    return Submitted(accepted.batch, jobs, frozenset(jobs) - made)


def _renamed(path: str) -> str:
    head, dot, rest = path.partition(".")
    return f"{_FIELDS.get(head, head)}{dot}{rest}".replace("loras", "lora")
