"""From a request of fal's client to a job request."""

import math
import re
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from pydantic import ValidationError

from imagemill.api.base import Services
from imagemill.dialects.fal import responses
from imagemill.dialects.fal.errors import FalRequestError, invalid
from imagemill.dialects.fal.schemas import GRID, LARGEST_SIDE, LEAST_SIDE, FalInput
from imagemill.dialects.fal.settings import SIZES, App
from imagemill.domain.blob_keys import input_key
from imagemill.domain.blob_urls import own_picture
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, InvalidInput, MissingExtra, NotFound
from imagemill.domain.jobs import Draft
from imagemill.domain.scheduling import NAMED_PRIORITIES
from imagemill.jobs.store.submit import Accepted
from imagemill.jobs.submit import JobRequest
from imagemill.media.intake import parse
from imagemill.media.layout import InvalidImage
from imagemill.net import pools
from imagemill.web.auth import caller
from imagemill.web.http import checked, digest, idempotency_key, json_body, request_trace

RECIPE = "textToImage"
_OWN = "blob:"
_UPLOADED = re.compile(r"([0-9a-f]{64})\.(png|jpeg|webp)")
_LEAST_DEADLINE_S = 0.1
_LONGEST_DEADLINE_S = 365 * 86_400
_MOST_PIXELS = 1024 * 1024
"""A source picture is rendered at its own size up to this number of pixels, for which checkpoints are made.
"""


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A submission with its header and query values; its input is not checked yet."""

    app: App
    body: Mapping[str, Any]
    owner: str
    base: str
    """The scheme and host of picture URLs."""
    webhook: str | None
    priority: int
    deadline: int | None
    """The time by which it must start, or it fails; microseconds since the epoch."""


def parse_deadline(request: Request) -> int | None:
    text = request.headers.get("x-fal-request-timeout")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not _LEAST_DEADLINE_S < seconds <= _LONGEST_DEADLINE_S:
        raise FalRequestError(
            400,
            f"X-Fal-Request-Timeout is {text[:40]!r}; write seconds above {_LEAST_DEADLINE_S:g}",
            "bad_request",
        )
    return now_us() + round(seconds * SECOND)


def parse_priority(request: Request) -> int:
    text = request.headers.get("x-fal-queue-priority", "normal")
    if text not in ("normal", "low"):
        raise FalRequestError(
            400, f"X-Fal-Queue-Priority is {text[:40]!r}; write normal or low", "bad_request"
        )
    return NAMED_PRIORITIES[text]


def parse_webhook(request: Request, services: Services) -> str | None:
    url = request.query_params.get("fal_webhook")
    if url is None:
        return None
    if not url.strip():
        raise InvalidInput.at("fal_webhook", "is empty; give a URL, or leave it out")
    MissingExtra.check("cryptography", "crypto", "a webhook of fal's API, which is signed,")
    return services.guard.check_url("fal_webhook", url)


def parse_request(asked: ParsedRequest, services: Services) -> JobRequest:
    """Return the job request. May block to store a picture. Raises `FalRequestError`, `InvalidInput`."""
    wanted, app = _input(asked.body), asked.app.settings
    _check_prompts(wanted, services.prompt_chars)
    input_: dict[str, Any] = {
        "model": app.model,
        "prompt": wanted.prompt,
        "negative_prompt": wanted.negative_prompt,
        "steps": wanted.num_inference_steps or app.steps,
        "cfg_scale": app.guidance_scale if wanted.guidance_scale is None else wanted.guidance_scale,
        "seed": wanted.seed,
        "count": wanted.num_images,
        "format": wanted.output_format,
        "networks": [{"air": lora.path, "strength": lora.scale} for lora in wanted.loras],
    }
    width, height = SIZES[app.image_size]
    if wanted.image_url is not None:
        source, size = _source(wanted.image_url, asked.owner, services)
        width, height = size or (width, height)
        strength = app.strength if wanted.strength is None else wanted.strength
        input_ |= {"image": source, "denoise": strength}
    elif app.needs_image:
        raise invalid(InvalidInput.at("image_url", "Field required"), "missing")
    if wanted.image_size is not None:
        width, height = wanted.image_size.width, wanted.image_size.height
    marks = {
        "app": asked.app.name,
        "path": asked.app.path,
        "base": asked.base,
        "inline": wanted.sync_mode,
        "checked": wanted.enable_safety_checker,
        "deadline": asked.deadline is not None,
    }
    return JobRequest(
        recipe=RECIPE,
        input={**input_, "width": width, "height": height},
        priority=asked.priority,
        expires_at=asked.deadline,
        callback_url=asked.webhook,
        client={"fal": marks},
    )


def _input(body: Mapping[str, Any]) -> FalInput:
    try:
        return FalInput.model_validate(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise FalRequestError(
            422,
            [
                {"loc": ["body", *fault["loc"]], "msg": fault["msg"], "type": fault["type"]}
                for fault in faults
            ],
        ) from error


def _check_prompts(wanted: FalInput, most: int) -> None:
    for name, text in (("prompt", wanted.prompt), ("negative_prompt", wanted.negative_prompt)):
        if len(text) > most:
            message = f"has {len(text)} characters, at most {most} are accepted"
            raise invalid(InvalidInput.at(name, message), "string_too_long")


def _source(text: str, owner: str, services: Services) -> tuple[str, tuple[int, int] | None]:
    """Return the recipe's source of a picture, and the size to render it at if it is known now."""
    if text[:5].lower() == "data:":
        kept = services.inputs.keep_data_url("image_url", text, owner)
        return f"{_OWN}{kept.name}", _fitting(kept.info.width, kept.info.height)
    is_named = text.startswith(_OWN)
    name = text.removeprefix(_OWN) if is_named else own_picture(text, services.response_config.signer)
    size = _size_of(name, owner, services) if name is not None else None
    return text, size and _fitting(*size)


def _size_of(name: str, owner: str, services: Services) -> tuple[int, int] | None:
    """Return the size of the owner's picture or upload; None for one that will be refused later."""
    if uploaded := _UPLOADED.fullmatch(name):
        try:
            layout = parse(services.blobs.get(input_key(owner, *uploaded.groups())))
        except (NotFound, InvalidImage):
            return None
        return layout.width, layout.height
    found = services.jobs.artifact(name)
    return (found[0].width, found[0].height) if found and found[1] == owner else None


def _fitting(width: int, height: int) -> tuple[int, int]:
    """Return the renderable size nearest to a picture's own."""
    scale = min(1.0, math.sqrt(_MOST_PIXELS / (width * height)))
    sides = (GRID * round(side * scale / GRID) for side in (width, height))
    width, height = (max(LEAST_SIDE, min(LARGEST_SIDE, side)) for side in sides)
    return width, height


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A valid request that is not stored yet."""

    services: Services
    owner: str
    draft: Draft
    key: str | None
    """The client's idempotency key."""
    digest: str

    async def accept(self) -> Accepted:
        """Store its one job; it is durable afterwards."""
        digest = self.digest if self.key else ""
        submitted = self.services.submitter.submit_async
        future = submitted(self.owner, (self.draft,), key=self.key or None, digest=digest)
        accepted = await pools.result_of(future)
        if not accepted.jobs:
            raise Conflict(f"the request of the idempotency key {self.key!r} is gone; use another key")
        return accepted


class RequestSubmitter:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def take(self, request: Request, app: App) -> PreparedRequest:
        """Check a request. Raises `FalRequestError` and the errors of the submitter."""
        services = self._services
        key = idempotency_key(request)
        deadline, priority = parse_deadline(request), parse_priority(request)
        webhook = parse_webhook(request, services)
        body = await _body(request)
        owner, base = caller(request).owner, responses.base_url(request, services.response_config)
        asked = ParsedRequest(app, body, owner, base, webhook, priority, deadline)
        draft = await checked(request, self._draft, asked, request_trace(request))
        return PreparedRequest(services, owner, draft, key, digest([app.whole, webhook, body]) if key else "")

    def _draft(self, asked: ParsedRequest, trace: str) -> Draft:
        job_request = parse_request(asked, self._services)
        return self._services.submitter.prepare(
            asked.owner, [job_request], dialect=responses.NAME, trace=trace
        )[0]


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await json_body(request)
    except InvalidInput as error:
        raise invalid(error, "json_invalid") from error
    if not isinstance(body, dict):
        raise invalid(InvalidInput.at("", "Input should be an object"), "dict_type")
    return body
