"""From requests of clients to job requests."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request

from imagemill.api.base import Services
from imagemill.domain.errors import Conflict, InvalidInput, NotFound, UnsupportedPicture, UnusablePicture
from imagemill.domain.jobs import Draft, JobStatus
from imagemill.jobs.store.submit import Accepted
from imagemill.jobs.submit import JobRequest
from imagemill.net import pools
from imagemill.products.characters.events import NewJobNotifier
from imagemill.products.characters.inputs import EMOTION, MOST_LORAS
from imagemill.products.characters.prompts.scenes import EMOTIONS
from imagemill.products.characters.schemas import (
    AvatarRequest,
    Character,
    CharacterLora,
    CoverFields,
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
Sheet = dict[str, Any] | None
"""The character sheet in a recipe's input."""


def avatar(body: AvatarRequest) -> JobRequest:
    return _job_request(
        "avatar",
        body,
        character_id=body.character_id,
        character=_character(body.character, "character."),
        prompt=body.prompt,
        reference=body.reference_image_url,
    )


def sticker(body: StickerRequest, known: Sheet = None) -> JobRequest:
    """Return the job request of a sticker. ``known``: the sheet of a character that it does not describe."""
    emotion, tag = _emotion("emotion", "actionTag", body.emotion, body.action_tag)
    return _job_request(
        "sticker",
        body,
        character_id=body.character_id,
        character=_character(body.character, "character.") or known,
        emotion=emotion,
        action_tag=tag,
        custom_instructions=body.custom_instructions,
        reference=body.reference_image_url,
    )


def stickers(body: StickersRequest, priority: int, known: Sheet = None) -> Iterator[JobRequest]:
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
            character=_character(body.character, "character.") or known,
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
    """Return the emotion and its tag. Raises `InvalidInput`."""
    name = text.strip().lower()
    if not _EMOTION.fullmatch(name):
        raise InvalidInput.at(path, f"is {text[:40]!r}; write 1 to 32 of a-z, 0-9, - and _")
    if name not in EMOTIONS and not (tag or "").strip():
        known = ", ".join(EMOTIONS)
        raise InvalidInput.at(tag_path, f"is required for {name!r}, which is none of {known}")
    return name, (tag or "").strip()


def cover(body: CoverFields, story_id: str) -> JobRequest:
    return _job_request(
        "cover",
        body,
        story_id=story_id,
        title=body.title,
        synopsis=body.synopsis,
        characters=_characters(body.characters, "characters"),
    )


def scene(body: SceneRequest) -> JobRequest:
    context = body.context
    return _job_request(
        "scene",
        body,
        summary=context.summary,
        messages=[_message_text(message) for message in context.messages],
        characters=_characters(context.characters, "context.characters"),
        place=context.place,
        mood=context.mood,
        width=body.width,
        height=body.height,
    )


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


def _characters(found: Iterable[Character], path: str) -> list[dict[str, Any]]:
    return [_character(each, f"{path}[{index}].") or {} for index, each in enumerate(found)]


def _character(found: Character | None, path: str) -> dict[str, Any] | None:
    if found is None:
        return None
    sheet = found.model_dump(exclude={"lora"}, exclude_defaults=True)
    given = found.lora if isinstance(found.lora, list) else [found.lora] if found.lora is not None else []
    if len(given) > MOST_LORAS:
        raise InvalidInput.at(f"{path}lora", f"names {len(given)} LoRAs; at most {MOST_LORAS} work together")
    if given:
        sheet["loras"] = [_lora(each) for each in given]
    return sheet


def _lora(given: str | CharacterLora) -> dict[str, Any]:
    lora = CharacterLora(air=given, name=None, strength=1.0) if isinstance(given, str) else given
    return {"air": lora.air, "name": lora.name or "", "strength": lora.strength}


NAME = "characters"
_FIELDS = {
    "reference": "referenceImageUrl",
    "character_id": "characterId",
    "story_id": "storyId",
    "custom_instructions": "customInstructions",
    "action_tag": "actionTag",
}


@dataclass(frozen=True, slots=True)
class Submitted:
    """``jobs``: one for each job request, in order. ``reused``: existing jobs of equal requests."""

    batch: str
    jobs: tuple[str, ...]
    reused: frozenset[str]


class CharacterSubmitter:
    """Submits job requests. ``reuse``: whether equal requests share pictures."""

    def __init__(self, services: Services, arrivals: NewJobNotifier, *, reuse: bool) -> None:
        self._services = services
        self._arrivals = arrivals
        self._reuse = reuse

    async def order(self, request: Request, job_requests: tuple[JobRequest, ...], body: Any) -> Submitted:
        """Submit job requests. Raises the errors of a submission, with this API's names of fields."""
        owner = caller(request).owner
        wanted = (
            job_requests
            if self._reuse
            else tuple(replace(job_request, unique_key="") for job_request in job_requests)
        )
        trace, key = request_trace(request), idempotency_key(request)
        # In a thread, since the glossary reads each sheet, which takes milliseconds.
        drafts = await pools.read(self._drafts, owner, wanted, trace)
        accepted = await self._accepted(owner, drafts, key, body)
        gone = await pools.read(self._without_pictures, accepted.duplicates)
        again = {draft.id for draft in drafts if draft.unique_key in gone}
        if again:
            # The pictures of some equal requests were deleted by now: these are made anew.
            fresh = [replace(draft, unique_key="") for draft in drafts if draft.id in again]
            await self._accepted(owner, tuple(fresh), None, body)
        self._arrivals.tell(owner)
        return _ordered(drafts, accepted, again)

    async def _accepted(self, owner: str, drafts: tuple[Draft, ...], key: str | None, body: Any) -> Accepted:
        submitter = self._services.submitter
        future = submitter.submit_async(owner, drafts, key=key, digest=digest(body) if key else "")
        accepted = await asyncio.wrap_future(future)
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
        return Submitted(accepted.batch, tuple(job.id for job in accepted.jobs), frozenset())
    made = {job.id for job in accepted.jobs} | again
    jobs = tuple(draft.id if draft.id in made else accepted.duplicates[draft.unique_key] for draft in drafts)
    return Submitted(accepted.batch, jobs, frozenset(jobs) - made)


def _renamed(path: str) -> str:
    head, dot, rest = path.partition(".")
    return f"{_FIELDS.get(head, head)}{dot}{rest}".replace("loras", "lora")
