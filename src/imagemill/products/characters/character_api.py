"""The dependencies of the handlers of ``/api/v1/image-generation``."""

import logging
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Path, Request, Response, WebSocket
from starlette.requests import HTTPConnection

from imagemill.api.base import Services
from imagemill.api.credits import estimate
from imagemill.api.dependencies import context
from imagemill.domain.clock import now_us
from imagemill.domain.errors import Conflict, NotFound, StorageError
from imagemill.domain.jobs import Job, JobStatus
from imagemill.jobs.submit import JobRequest
from imagemill.net import pools
from imagemill.products.characters import requests
from imagemill.products.characters.drift import DriftMeter
from imagemill.products.characters.events import MessageEncoder, NewJobNotifier
from imagemill.products.characters.inputs import CharacterInput
from imagemill.products.characters.plans import CharacterPlanner
from imagemill.products.characters.requests import NAME, CharacterSubmitter, Submitted
from imagemill.products.characters.responses import UrlBuilder, status_body
from imagemill.products.characters.schemas import (
    AvatarRequest,
    Character,
    RenderOptions,
    StickerRequest,
    StickersRequest,
)
from imagemill.products.characters.settings import CharacterSettings
from imagemill.products.characters.sheets import SheetStore, SheetWrite, StoredSheet
from imagemill.products.characters.store import CharacterStore, ImageFilter, ImageRef, StoredImage
from imagemill.web.auth import caller
from imagemill.web.http import base_url, json_response
from imagemill.web.websockets import EventSocket, previews_of

log = logging.getLogger(__name__)

PREFIX = "/api/v1/image-generation"
_PAGE = 200
_MOST_COMPARED = 50
"""Maximum number of active pictures that are compared with the avatar."""


class CharacterApi:
    """The dependencies of the handlers: jobs of characters in the form of this API."""

    def __init__(
        self,
        services: Services,
        settings: CharacterSettings,
        store: CharacterStore,
        sheets: SheetStore,
        *,
        drift: DriftMeter,
        has_language_model: bool,
    ) -> None:
        self.services = services
        self.settings = settings
        self.store = store
        self.sheets = sheets
        self.drift = drift
        self.arrivals = NewJobNotifier()
        self._has_language_model = has_language_model
        self._planner = CharacterPlanner(settings, None, has_language_model)
        self.submitter = CharacterSubmitter(
            services, self.arrivals, reuse=settings.reuse, has_language_model=has_language_model
        )
        self.sockets = EventSocket(services.jobs, services.hub)

    async def known(self, request: Request, body: RenderOptions) -> requests.Sheets:
        """Return the stored sheets that a request may need."""
        ids = requests.characters_in(body)
        found = await pools.read(self.sheets.sheets, caller(request).owner, ids)
        return {id_: stored.sheet for id_, stored in found.items()}

    async def submitted(
        self, request: Request, body: RenderOptions, job_requests: Iterable[JobRequest]
    ) -> Submitted:
        """Submit jobs, and keep the sheet of the request for later requests without one."""
        submitted = await self.submitter.order(request, tuple(job_requests), await request.json())
        if isinstance(body, (AvatarRequest, StickerRequest, StickersRequest)) and not submitted.repeated:
            sheet = requests.sheet_of(body.character, "character.")
            if sheet is not None:
                await pools.write(self._keep_sheet, caller(request).owner, body, sheet)
        return submitted

    def _keep_sheet(
        self, owner: str, body: AvatarRequest | StickerRequest | StickersRequest, sheet: requests.Sheet
    ) -> None:
        """Store the sheet of an avatar, or the first one of a character. Jobs are accepted by now, so a
        failure is only logged."""
        replaces = isinstance(body, AvatarRequest)
        try:
            self.sheets.put(SheetWrite(owner, body.character_id, sheet, now_us(), True, replaces))
        except (Conflict, StorageError) as error:
            log.warning("the sheet of a character could not be stored: %s", error)

    async def price(self, request: Request, job_requests: Iterable[JobRequest]) -> Response:
        """Answer with what jobs would cost; nothing is stored."""
        drafts = await self.submitter.drafts(request, tuple(job_requests))
        return json_response(await estimate(request, self.services.credits, drafts))

    async def accepted(
        self, request: Request, body: RenderOptions, job_request: JobRequest, *, whatif: bool
    ) -> Response:
        """Submit the job and answer with its id, or with the id of an equal request's job; ``whatif``: only
        with its price."""
        if whatif:
            return await self.price(request, (job_request,))
        submitted = await self.submitted(request, body, (job_request,))
        (job_id,) = submitted.jobs
        reused = job_id in submitted.reused
        message = (
            f"an equal {job_request.recipe} was asked for before"
            if reused
            else f"the {job_request.recipe} is queued"
        )
        answer = {
            "success": True,
            "jobId": job_id,
            "reused": reused,
            "untranslated": submitted.untranslated,
            "message": message + self.reuse_note(body),
        }
        return json_response(answer, 202)

    def reuse_note(self, body: RenderOptions) -> str:
        """Return the sentence about a wish for reuse that this server does not allow."""
        return (
            "; reuse is off on this server, so it is made anew"
            if body.reuse and not self.settings.reuse
            else ""
        )

    async def status(self, request: HTTPConnection, job_id: str) -> dict[str, Any] | None:
        """Return how far the job is; None if it is gone."""
        services = self.services
        owner = caller(request).owner
        views = await services.views.load([job_id])
        if not views:
            return None
        view, image = views[0], None
        if view.job.status is JobStatus.SUCCEEDED:
            images = await pools.read(self.store.of_jobs, owner, [job_id])
            image = images.get(job_id)
        return status_body(view, image, services.hub.progress(job_id), self.urls(request))

    async def job(self, request: HTTPConnection, job_id: str) -> Job:
        """Raises `NotFound` for a job of another owner or of another API."""
        job = await pools.read(self.services.jobs.job, job_id, caller(request).owner)
        if job.dialect != NAME:
            raise NotFound(f"there is no job {job_id[:64]} of a character")
        return job

    def put_sheet(self, owner: str, id_: str, character: Character) -> StoredSheet:
        """Store a sheet. Raises `InvalidInput` for a model that is not a LoRA, and `Conflict`."""
        sheet = requests.sheet_of(character, "character.")
        checked = requests.checked_sheet(sheet, self.services.registry)
        return self.sheets.put(SheetWrite(owner, id_, checked, now_us()))

    def preview(self, character: Character) -> dict[str, Any]:
        """Return the tags of a sheet by the glossary. Raises `InvalidInput`."""
        sheet = CharacterInput.model_validate(requests.sheet_of(character, "character.") or {}).sheet
        look, prompt = self._planner.preview(sheet)
        return {
            "gender": look.gender,
            "physical": look.physical,
            "attire": look.attire,
            "style": look.style,
            "untranslated": look.untranslated,
            "prompt": prompt.positive,
            "negativePrompt": prompt.negative,
            "languageModel": self._has_language_model,
        }

    def active_images(self, owner: str, character_id: str) -> list[StoredImage]:
        """Return the active pictures of a character. Raises `NotFound` for an unknown one."""
        wanted = ImageFilter(owner, character_id, is_active=True, limit=_MOST_COMPARED)
        images = self.store.images(wanted)
        if not images:
            self.check_known(owner, character_id)
        return images

    def activate(self, image: ImageRef) -> StoredImage:
        """Make a picture the active one. A sheet that came with an avatar follows the active avatar."""
        found = self.store.activate(image)
        if (found.subject, found.type) == ("character", "avatar"):
            try:
                input_ = self.services.jobs.job(found.job_id, image.owner).input
            except NotFound:
                return found
            if sheet := requests.as_requested(input_.get("character", {})):
                self.sheets.put(SheetWrite(image.owner, found.character_id, sheet, now_us(), True))
        return found

    def delete(self, image: ImageRef) -> None:
        """Delete the row, then the files. If the process ends in between, the sweeper deletes the files."""
        self.services.blobs.delete(self.store.delete(image))

    def check_known(self, owner: str, character_id: str) -> None:
        """Raise `NotFound` for a character that has neither a picture nor a sheet."""
        if not self.store.images(ImageFilter(owner, character_id, limit=1)):
            try:
                self.sheets.sheet(owner, character_id)
            except NotFound as error:
                raise NotFound(f"there is no character {character_id[:64]}") from error

    def delete_pictures(self, owner: str, character_id: str) -> int:
        """Delete all pictures of a character with their files; return their number."""
        wanted, deleted = ImageFilter(owner, character_id, limit=_PAGE), 0
        while images := self.store.images(wanted):
            for image in images:
                self.delete(ImageRef(owner, character_id, image.id, now_us()))
            deleted += len(images)
        return deleted

    def encoder(self, socket: WebSocket) -> MessageEncoder:
        return MessageEncoder(lambda job_id: self.status(socket, job_id), previews_of(socket))

    def urls(self, request: HTTPConnection) -> UrlBuilder:
        config = self.services.response_config
        return UrlBuilder(config.signer, base_url(request, config.public_url), self.settings.public_base_url)


CharactersDep = Annotated[CharacterApi, context(NAME)]
JobId = Annotated[str, Path(description="`jobId` of the answer to a request.")]
CharacterId = Annotated[str, Path(description="The character.", openapi_examples={"lia": {"value": "lia"}})]
StoryId = Annotated[
    str, Path(description="The story.", openapi_examples={"lighthouse": {"value": "lighthouse"}})
]
ChatId = Annotated[
    str, Path(description="The chat.", openapi_examples={"lia-and-me": {"value": "lia-and-me"}})
]
ImageId = Annotated[str, Path(description="`id` of the picture.")]
