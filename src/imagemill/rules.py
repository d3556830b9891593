"""What the settings mean to the parts: each part's rules, made of the settings it does not know."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from imagemill.backends.base import Backend
from imagemill.config import Settings
from imagemill.domain.failures import Backoff
from imagemill.domain.placing import Rules
from imagemill.domain.signing import UrlSigner
from imagemill.parts import signing_key
from imagemill.service.attempting import RunRules
from imagemill.service.library import LibraryRules
from imagemill.service.messages import MessageRules
from imagemill.service.notify import NotifyRules
from imagemill.service.outputs import Examination, OutputLimits
from imagemill.service.pace import Pace
from imagemill.service.services import Wire
from imagemill.service.submit import Defaults
from imagemill.service.sweep import SweepRules
from imagemill.service.webhooks import WebhookRules

if TYPE_CHECKING:
    from imagemill.dispatch.generating import GeneratorRules


def of_submits(settings: Settings) -> Defaults:
    job = settings.job
    private = frozenset(settings.fal.private_owners)
    return Defaults(job.life_s, job.max_failures, settings.limit.jobs_per_request, private)


def of_runs(settings: Settings, examination: Examination, *, alone: bool) -> RunRules:
    """``alone``: no other process works on these jobs."""
    job, limit = settings.job, settings.limit
    return RunRules(
        lease_s=job.lease_s,
        heartbeat_s=job.heartbeat_s,
        timeout_s=_longest_s(settings, alone),
        placing=Rules(job.load_s, job.affinity_bound_s, job.fair_horizon_s),
        avoid_node_s=job.avoid_node_s,
        backoff=Backoff(job.retry_base_s, job.retry_cap_s),
        limits=OutputLimits(limit.image_pixels, limit.output_bytes, settings.blobs.patience_s),
        examination=examination,
        reattach_s=job.reattach_s,
        pace=Pace(job.per_minute),
        previews=settings.comfyui.ask_previews,
    )


def _longest_s(settings: Settings, alone: bool) -> float:
    """A task that claims until its token is spent must still be within Celery's limit then."""
    celery, longest_s = settings.celery, settings.job.timeout_s
    if settings.broker_url is None or alone:
        return longest_s
    return min(longest_s, celery.soft_time_limit_s - celery.token_s)


def of_sweeps(settings: Settings, backends: Mapping[str, Backend]) -> SweepRules:
    job, blobs = settings.job, settings.blobs
    return SweepRules(
        settings.sweep_s,
        job.retention_days * 86_400,
        job.life_s,
        frozenset(backend.name for backend in backends.values() if backend.outlives),
        heartbeat_s=job.heartbeat_s,
        reattach_s=job.reattach_s,
        retention=blobs.retention,
        search_every_s=blobs.search_s,
    )


def of_callbacks(settings: Settings) -> NotifyRules:
    callback = settings.callback
    return NotifyRules(
        timeout_s=callback.timeout_s,
        tries=callback.tries,
        backoff=Backoff(callback.retry_base_s, callback.retry_cap_s),
        poll_s=settings.sweep_s,
    )


def of_messages(settings: Settings) -> MessageRules:
    webhook = settings.webhook
    return MessageRules(
        timeout_s=webhook.timeout_s,
        tries=webhook.tries,
        backoff=Backoff(webhook.retry_base_s, webhook.retry_cap_s),
        poll_s=settings.sweep_s,
        pause_after_s=webhook.pause_after_s,
        retention_s=webhook.retention_days * 86_400,
    )


def of_webhooks(settings: Settings) -> WebhookRules:
    return WebhookRules(settings.webhook.endpoints, settings.webhook.rotation_s)


def of_library(settings: Settings) -> LibraryRules:
    library = settings.library
    return LibraryRules(library.model, library.width, library.height, library.steps, library.denoise)


_ANSWER_S = 10.0
"""What a task of the generator may take, past its patience, to answer before its time limit ends it."""


def of_generator(settings: Settings) -> "GeneratorRules":
    from imagemill.dispatch.generating import GeneratorRules  # which one role needs

    celery = settings.celery
    return GeneratorRules(
        owner=settings.library.owner or settings.owner,
        patience_s=max(celery.soft_time_limit_s - _ANSWER_S, celery.soft_time_limit_s / 2),
        address=address(settings),
    )


def address(settings: Settings) -> str:
    """Where this installation is reached, for those who are not answered but called."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - no bind
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def of_answers(settings: Settings) -> Wire:
    return Wire(
        UrlSigner(signing_key(settings), life_s=settings.url_life_s),
        settings.public_url.rstrip("/") if settings.public_url else None,
        settings.civitai.result_shape,
    )
