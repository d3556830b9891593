"""Answers of the API of characters: their models, and bodies of jobs and pictures."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from imagemill.api.jobs_schemas import moment
from imagemill.backends.base import Progress
from imagemill.domain.clock import now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.events import EventType
from imagemill.domain.jobs import Artifact, Job, JobStatus
from imagemill.domain.signing import UrlSigner
from imagemill.jobs.store.queries import View
from imagemill.products.characters.sheets import StoredSheet
from imagemill.products.characters.store import CharacterSummary, StoredImage
from imagemill.web.blobs import picture_url
from imagemill.web.routing import ResponseModel

_SIMULATOR = "simulator"
STICKER = {
    "waiting": "PENDING",
    "delayed": "PENDING",
    "active": "GENERATING",
    "completed": "COMPLETED",
    "failed": "FAILED",
}
"""The state of a sticker by that of its job; it is not stored."""
PREPARED = ("translatedBy", "translationProblem", "untranslated", "dominantColour", "keyColour")
"""The fields of a job's last event about the preparation of its input."""
_ENDED = {
    JobStatus.CANCELED: ("canceled", "it was canceled"),
    JobStatus.EXPIRED: ("expired", "it was not started in time; submit it again"),
}


_JOB = "01a2238c-4a37-7e4e-8fe9-c660c98ffd26"
_IMAGE = "01a2238c-4a37-7e4e-8fe9-c660c98ffd27"
_BATCH = "01a2238c-4a3f-7fdc-b438-f7fe2b2d3d8d"
_ADDRESS = "http://localhost:8000/blobs/characters/a1b2c3/lia/avatar"
_ADDRESSES = {
    "imageUrl": f"{_ADDRESS}/1767225600000.webp?exp=1767229200&sig=...",
    "thumbnailUrl": f"{_ADDRESS}/1767225600000-thumbnail.webp?exp=1767229200&sig=...",
}


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


_UNTRANSLATED = (
    "Words that will be in no tag of the prompt; null where a language model translates them later."
)


class PictureAccepted(ResponseModel):
    model_config = _example(
        success=True, jobId=_JOB, reused=False, untranslated=["penas"], message="the avatar is queued"
    )

    success: Literal[True]
    job_id: str
    reused: bool = Field(description="The job of an equal request answers this one.")
    untranslated: list[str] | None = Field(description=_UNTRANSLATED)
    message: str


class StickersAccepted(ResponseModel):
    model_config = _example(
        success=True,
        jobIds=[_JOB, "01a2238c-4a37-7e4e-8fe9-c660c98ffd28"],
        batchId=_BATCH,
        emotionCount=2,
        reused=[],
        untranslated=[],
        message="2 stickers are queued",
    )

    success: Literal[True]
    job_ids: list[str] = Field(description="One for each emotion, in their order.")
    batch_id: str
    emotion_count: int
    reused: list[str] = Field(description="The ids of jobs of equal requests that answer this one.")
    untranslated: list[str] | None = Field(description=_UNTRANSLATED)
    message: str


class PictureSubject(ResponseModel):
    """The picture that the job makes."""

    type: Literal["avatar", "sticker", "cover", "scene"]
    character_id: str | None = None
    story_id: str | None = None
    chat_id: str | None = None
    batch_id: str | None = None
    emotion: str | None = None
    status: Literal["PENDING", "GENERATING", "COMPLETED", "FAILED"] | None = Field(
        None, description="Of a sticker."
    )


class PictureResult(ResponseModel):
    """The picture; after its deletion the addresses are null."""

    image_id: str | None
    image_url: str | None
    thumbnail_url: str | None
    width: int | None = Field(None, description="Pixels.")
    height: int | None = Field(None, description="Pixels.")
    size: int | None = Field(None, description="Bytes.")
    media_type: str | None = None
    seed: int | None = None
    simulated: bool | None = Field(None, description="Whether the simulator drew it, and no model.")
    translated_by: list[Literal["glossary", "llm", "cache"]] | None = Field(
        None, description="What has translated the texts."
    )
    translation_problem: str | None = Field(
        None, description="Why the glossary translated where a language model was asked."
    )
    untranslated: list[str] | None = Field(None, description="Words that are in no tag of the prompt.")
    dominant_colour: str | None = Field(None, description="The dominant colour of the reference picture.")
    key_colour: str | None = Field(None, description="The background that was removed from a sticker.")


class PictureFailure(ResponseModel):
    code: str = Field(description="A code in capitals, such as CANCELED or EXPIRED.")
    advice: str | None = Field(None, description="What to do about it.")


class PictureStatus(ResponseModel):
    model_config = _example(
        jobId=_JOB,
        state="completed",
        progress=100,
        data={"type": "avatar", "characterId": "lia", "batchId": _BATCH},
        result={
            "imageId": _IMAGE,
            **_ADDRESSES,
            "width": 768,
            "height": 768,
            "size": 91337,
            "mediaType": "image/webp",
            "seed": 42,
            "simulated": False,
            "translatedBy": ["glossary"],
            "untranslated": [],
        },
        failedReason=None,
        error=None,
        simulated=False,
        createdAt="2026-01-31T12:00:00+00:00",
        finishedAt="2026-01-31T12:00:05+00:00",
    )

    job_id: str
    state: Literal["waiting", "delayed", "active", "completed", "failed"] = Field(
        description="A delayed job waits for a retry."
    )
    progress: int = Field(description="0 to 100.")
    data: PictureSubject
    result: PictureResult | None = Field(description="Null until the job is completed.")
    failed_reason: str | None
    error: PictureFailure | None
    simulated: bool = Field(description="The picture is drawn by the simulator, not by a model.")
    created_at: datetime
    finished_at: datetime | None


class CharacterPicture(ResponseModel):
    model_config = _example(
        id=_IMAGE,
        type="avatar",
        emotion=None,
        active=True,
        **_ADDRESSES,
        mediaType="image/webp",
        width=768,
        height=768,
        size=91337,
        seed=42,
        jobId=_JOB,
        createdAt="2026-01-31T12:00:05+00:00",
    )

    id: str
    type: Literal["avatar", "sticker", "cover", "scene"]
    emotion: str | None = Field(description="Of a sticker.")
    active: bool = Field(
        description="Whether it is the one in use: the avatar, or the sticker of its emotion."
    )
    image_url: str
    thumbnail_url: str
    media_type: str
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    size: int = Field(description="Bytes.")
    seed: int | None
    job_id: str
    created_at: datetime


class CharacterPicturePage(ResponseModel):
    items: list[CharacterPicture]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class StoredLora(ResponseModel):
    air: str
    name: str = Field(description="The name in the prompt; empty: the character's name.")
    strength: float


class StoredCharacter(ResponseModel):
    """A sheet, in the form of the requests."""

    name: str = ""
    gender: str = ""
    species: str = ""
    physical: str = ""
    attire: str = ""
    style: str = ""
    description: str = ""
    lora: list[StoredLora] = []


class CharacterSheetAnswer(ResponseModel):
    model_config = _example(
        characterId="lia",
        character={"name": "Lia", "physical": "long red hair, green eyes", "attire": "white summer dress"},
        fromRequest=False,
        createdAt="2026-01-31T12:00:00+00:00",
        updatedAt="2026-01-31T12:00:00+00:00",
    )

    character_id: str
    character: StoredCharacter
    from_request: bool = Field(
        description="Whether it came with a request for a picture; the next avatar with a sheet replaces it."
    )
    created_at: datetime
    updated_at: datetime


class ListedCharacter(CharacterSheetAnswer):
    model_config = _example(
        characterId="lia",
        character={"name": "Lia", "physical": "long red hair, green eyes", "attire": "white summer dress"},
        fromRequest=False,
        createdAt="2026-01-31T12:00:00+00:00",
        updatedAt="2026-01-31T12:00:00+00:00",
        avatarUrl=_ADDRESSES["thumbnailUrl"],
        stickers=8,
    )

    avatar_url: str | None = Field(description="The thumbnail of the active avatar.")
    stickers: int = Field(description="The number of emotions that have a sticker.")


class CharacterSheetPage(ResponseModel):
    items: list[ListedCharacter]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class SheetPreview(ResponseModel):
    """A sheet as the image model gets it."""

    model_config = _example(
        gender="female",
        physical=["long hair", "brown hair", "green eyes"],
        attire=["red dress"],
        style=["anime"],
        untranslated=["penas"],
        prompt="masterpiece, best quality, ..., 1girl, long hair, brown hair, green eyes, red dress",
        negativePrompt="multiple people, ...",
        languageModel=False,
    )

    gender: Literal["female", "male", "unknown"]
    physical: list[str]
    attire: list[str]
    style: list[str]
    untranslated: list[str] = Field(description="Words of the sheet that are in no tag.")
    prompt: str = Field(description="The prompt of an avatar.")
    negative_prompt: str
    language_model: bool = Field(
        description="Whether a language model translates when a picture is made; these tags are always the "
        "glossary's."
    )


class CharacterDrift(ResponseModel):
    """How far a picture is from the identity picture."""

    image: CharacterPicture
    distance: float | None = Field(description="0: the same colours; null where it cannot be measured.")


class DriftReport(ResponseModel):
    model_config = _example(
        characterId="lia",
        measure="colours",
        identity=_IMAGE,
        items=[
            {
                "image": {
                    "id": "01a2238c-4a37-7e4e-8fe9-c660c98ffd29",
                    "type": "sticker",
                    "emotion": "shy",
                    "active": True,
                    **_ADDRESSES,
                    "mediaType": "image/webp",
                    "width": 612,
                    "height": 1040,
                    "size": 91337,
                    "seed": 42,
                    "jobId": _JOB,
                    "createdAt": "2026-01-31T12:00:05+00:00",
                },
                "distance": 23.4,
            }
        ],
    )

    character_id: str
    measure: Literal["colours"] = Field(
        description="How far the colours of the identity picture are on average from the nearest colours of "
        "the picture, in CIELAB: 2 is just noticeable, above 20 a colour is missing or is another one. Faces "
        "are not compared."
    )
    identity: str | None = Field(description="The active avatar; null: there is none, so no list either.")
    items: list[CharacterDrift] = Field(description="The active pictures, the farthest first.")


class OpenPictures(ResponseModel):
    waiting: int
    active: int


class CharacterHealth(ResponseModel):
    model_config = _example(
        comfyui="healthy",
        status="ok",
        simulated=False,
        queue={"waiting": 3, "active": 1},
        timestamp="2026-01-31T12:00:00+00:00",
    )

    comfyui: Literal["healthy", "unhealthy"] = Field(description="Whether a node takes jobs.")
    status: Literal["ok", "degraded"] = Field(description="That of `/health`; `degraded`: some jobs wait.")
    simulated: bool = Field(description="Whether the simulator makes the pictures.")
    queue: OpenPictures | None = Field(description="The jobs of the caller; null without a key.")
    timestamp: datetime


class CharacterError(ResponseModel):
    """The reason why a request was refused."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "success": False,
                    "code": "INVALID_INPUT",
                    "message": "emotion: is required",
                    "traceId": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
                    "errors": {"emotion": ["is required"]},
                }
            ]
        },
    )

    success: Literal[False]
    code: str
    message: str
    trace_id: str = Field(description="Finds the request in the server's log.")
    errors: dict[str, list[str]] = Field({}, description="The faults of each field, by its path.")
    needed: float | None = Field(None, description="For CREDITS_INSUFFICIENT: the credits that are needed.")
    available: float | None = Field(None, description="For CREDITS_INSUFFICIENT: the available credits.")


_CODES = {"rate_limited": "RATE_LIMIT_EXCEEDED", "unauthenticated": "UNAUTHORIZED"}
_OF_PROBLEMS = frozenset({"type", "title", "status", "detail", "code"})


def character_error(problem: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body of an error. The fields of a problem that RFC 9457 does not name are kept."""
    more = {name: value for name, value in problem.items() if name not in _OF_PROBLEMS}
    code = str(problem["code"])
    return {
        "success": False,
        "code": _CODES.get(code, code.upper()),
        "message": problem["detail"],
        **more,
    }


@dataclass(frozen=True, slots=True)
class UrlBuilder:
    """Builds URLs of pictures. ``public``: the bucket's own address; None means signed URLs."""

    signer: UrlSigner
    base: str
    public: str | None = None

    def to(self, key: str) -> str:
        """Return the URL of a product's file."""
        if self.public is not None:
            return f"{self.public.rstrip('/')}/{key}"
        return f"{self.base}/blobs/{key}?{self.signer.sign(key).query}"


def state(job: Job) -> str:
    match job.status:
        case JobStatus.WAITING | JobStatus.QUEUED:
            return "delayed" if job.run_after is not None and job.run_after > now_us() else "waiting"
        case JobStatus.RUNNING:
            return "active"
        case JobStatus.SUCCEEDED:
            return "completed"
        case _:
            return "failed"


def status_body(
    view: View, image: StoredImage | None, live: Progress | None, links: UrlBuilder
) -> dict[str, Any]:
    job = view.job
    done = job.status is JobStatus.SUCCEEDED
    return {
        "jobId": job.id,
        "state": state(job),
        "progress": 100 if done else percent(live.fraction if live is not None else _logged(view)),
        "data": data_body(job),
        "result": result_body(view, image, links) if done else None,
        "failedReason": _reason(job),
        "error": _error(view),
        "simulated": job.simulated,
        "createdAt": moment(job.created_at),
        "finishedAt": moment(job.finished_at),
    }


def percent(fraction: float) -> int:
    return round(100 * min(1.0, max(0.0, fraction)))


def _logged(view: View) -> float:
    """Return the coarse progress of the event log, for a job that another process renders."""
    event = view.last_event
    return float(event.data.get("progress", 0.0)) if event.type is EventType.UPDATED else 0.0


def data_body(job: Job) -> dict[str, Any]:
    """Return the subject of a job, without any text that a user wrote."""
    of = {"type": job.recipe, "characterId": job.input.get("character_id"), "batchId": job.batch}
    if job.recipe == "sticker":
        of |= {"emotion": job.input.get("emotion"), "status": STICKER[state(job)]}
    of |= {"storyId": job.input.get("story_id"), "chatId": job.input.get("chat_id")}
    return {name: value for name, value in of.items() if value is not None}


def result_body(view: View, image: StoredImage | None, links: UrlBuilder) -> dict[str, Any]:
    """Return the result of a job; a deleted picture has no URLs."""
    body: dict[str, Any] = {"imageId": None, "imageUrl": None, "thumbnailUrl": None}
    if image is not None:
        body = {"imageId": image.id, **_addresses(image, links)}
    elif view.artifacts and view.artifacts[0].available:
        urls = [_artifact_url(each, links) for each in view.artifacts]
        body |= {"imageUrl": urls[0], "thumbnailUrl": urls[min(1, len(urls) - 1)]}
    if view.artifacts:
        picture = view.artifacts[0]
        body |= {
            "width": picture.width,
            "height": picture.height,
            "size": picture.size,
            "mediaType": picture.media_type,
            "seed": picture.seed,
            "simulated": view.job.backend == _SIMULATOR,
        }
    return body | {name: value for name, value in view.last_event.data.items() if name in PREPARED}


def _artifact_url(artifact: Artifact, links: UrlBuilder) -> str:
    if artifact.blob_key.startswith("jobs/"):
        return picture_url(links.signer, links.base, artifact).url
    return links.to(artifact.blob_key)


def _addresses(image: StoredImage, links: UrlBuilder) -> dict[str, str]:
    return {"imageUrl": links.to(image.image_key), "thumbnailUrl": links.to(image.thumbnail_key)}


def _reason(job: Job) -> str | None:
    if job.status in _ENDED:
        return _ENDED[job.status][1]
    return job.error.message if job.error is not None and job.status is JobStatus.FAILED else None


def _error(view: View) -> Mapping[str, Any] | None:
    """Return the error of a job for programs: a code in capitals and the advice."""
    job = view.job
    if job.status in _ENDED:
        return {"code": _ENDED[job.status][0].upper()}
    if job.error is None or job.status is not JobStatus.FAILED:
        return None
    return {"code": job.error.code.value.upper(), "advice": job.error.policy.advice}


def sheet_body(stored: StoredSheet) -> dict[str, Any]:
    given = {name: value for name, value in stored.sheet.items() if name != "loras"}
    loras = [
        {"air": each["air"], "name": each.get("name", ""), "strength": each.get("strength", 1.0)}
        for each in stored.sheet.get("loras", ())
    ]
    return {
        "characterId": stored.id,
        "character": given | ({"lora": loras} if loras else {}),
        "fromRequest": stored.from_request,
        "createdAt": moment(stored.created_at),
        "updatedAt": moment(stored.updated_at),
    }


def listed_body(stored: StoredSheet, summary: CharacterSummary, links: UrlBuilder) -> dict[str, Any]:
    avatar = summary.avatar
    return sheet_body(stored) | {
        "avatarUrl": None if avatar is None else links.to(avatar.thumbnail_key),
        "stickers": summary.stickers,
    }


def image_body(image: StoredImage, links: UrlBuilder) -> dict[str, Any]:
    return {
        "id": image.id,
        "type": image.type,
        "emotion": image.emotion or None,
        "active": image.is_active,
        **_addresses(image, links),
        "mediaType": image.media_type,
        "width": image.width,
        "height": image.height,
        "size": image.size,
        "seed": image.seed,
        "jobId": image.job_id,
        "createdAt": moment(image.created_at),
    }
