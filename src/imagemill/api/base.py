"""Everything a dialect may use, built once by `imagemill.bootstrap.application`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from imagemill.accounts.access import Access
from imagemill.accounts.audit import Audit
from imagemill.accounts.store import AccountStore
from imagemill.accounts.users import Users
from imagemill.backends.base import Backend
from imagemill.blobs.base import BlobStore
from imagemill.credits.service import CreditService
from imagemill.db.database import Database
from imagemill.domain.access import Caller
from imagemill.domain.errors import NotFound
from imagemill.domain.scheduling import Offer
from imagemill.domain.signing import UrlSigner
from imagemill.jobs.hub import Hub, ViewLoader
from imagemill.jobs.inputs import InputPictures
from imagemill.jobs.store.store import JobStore
from imagemill.jobs.submit import Submitter
from imagemill.model_registry.registry import Registry
from imagemill.net.guarded_client import UrlGuard
from imagemill.nodes.registry import NodeRegistry
from imagemill.quotas.service import RequestLimiter
from imagemill.quotas.store import QuotaStore
from imagemill.recipes.base import Recipe
from imagemill.web.permissions import RoutePermission
from imagemill.webhooks.callbacks import Format
from imagemill.webhooks.endpoints import EndpointService
from imagemill.webhooks.outbox import Delivery
from imagemill.workflows.service import Workflows

if TYPE_CHECKING:
    from fastapi import APIRouter


@dataclass(frozen=True, slots=True)
class ResponseConfig:
    """How answers of this installation look."""

    signer: UrlSigner
    public_url: str | None
    """Without a slash at the end; None: as the request was addressed."""
    v1_result: Literal["object", "array"]


@dataclass(frozen=True, slots=True)
class Services:
    database: Database
    jobs: JobStore
    accounts: AccountStore
    quotas: QuotaStore
    access: Access
    users: Users
    audit: Audit
    hub: Hub
    blobs: BlobStore
    registry: Registry
    nodes: NodeRegistry
    workflows: Workflows
    submitter: Submitter
    credits: CreditService
    throttle: RequestLimiter | None
    """None: nobody is held to limits."""
    views: ViewLoader
    webhooks: EndpointService
    guard: UrlGuard
    inputs: InputPictures
    recipes: Mapping[str, Recipe]
    backends: Mapping[str, Backend]
    offers: Callable[[], list[Offer]]
    """What the slots of this process can take now; empty where none runs."""
    prompt_chars: int
    wait_s: float
    response_config: ResponseConfig
    options: Mapping[str, Any]
    """The settings of dialects that have some, by the dialect's name."""
    secret: Callable[[str], bytes]
    """A secret of this installation by its name, drawn when it is first asked for; may block."""


@dataclass(frozen=True, slots=True)
class ApiModule:
    name: str
    """Kept on each job that came in by it."""
    router: "Callable[[Services], APIRouter]"
    callback: Format
    webhook_format: Callable[[Services], Format] | None = None
    """In place of ``callback``, where the words of callbacks need more than the delivery."""
    permissions: tuple[RoutePermission, ...] = ()
    """What its routes need; what none of them names is for admins only."""
    extra_openapi: Callable[[Services, Caller | None], Mapping[str, Any]] | None = None
    """Further paths of the OpenAPI document as this caller sees it, None for nobody we know; they come and go
    while the server runs. May block."""


def no_callback(delivery: Delivery) -> Mapping[str, Any]:
    """For dialects that accept no jobs."""
    raise NotFound(f"job {delivery.job.id} was not submitted by this dialect")
