"""The declaration of a part of the HTTP API (`ApiModule`) and the services it may use (`Services`)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from imagemill.accounts.access import Access
from imagemill.accounts.audit import Audit
from imagemill.accounts.browser_sessions import BrowserSessions
from imagemill.accounts.store import AccountStore
from imagemill.accounts.tickets import SocketTickets
from imagemill.accounts.users import Users
from imagemill.backends.base import Backend
from imagemill.backends.simulator.control import SimulatorControl
from imagemill.blobs.base import BlobStore
from imagemill.credits.service import CreditService
from imagemill.db.database import Database
from imagemill.domain.access import Caller
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import NotFound
from imagemill.domain.nodes import Finding
from imagemill.domain.placement import PlacementRules
from imagemill.domain.scheduling import Offer
from imagemill.domain.signing import UrlSigner
from imagemill.jobs.capacity import Capacity
from imagemill.jobs.gallery_files import Thumbnails
from imagemill.jobs.hub import Hub
from imagemill.jobs.inputs import InputPictures
from imagemill.jobs.job_feed import Feed
from imagemill.jobs.operations.service import Operations
from imagemill.jobs.pauses import Pauses
from imagemill.jobs.processes import ProcessStore
from imagemill.jobs.shared_reads import ViewLoader
from imagemill.jobs.store.batches import BatchStore
from imagemill.jobs.store.statistics import StatisticsStore
from imagemill.jobs.store.store import JobStore
from imagemill.jobs.submit import Submitter
from imagemill.model_registry.registry import Registry
from imagemill.net.pools import HealthProbe
from imagemill.net.url_guard import UrlGuard
from imagemill.nodes.registry import NodeRegistry
from imagemill.quotas.service import RequestLimiter
from imagemill.quotas.store import QuotaStore
from imagemill.recipes.base import Recipe
from imagemill.web.policies import PathPolicy
from imagemill.webhooks.callbacks import Format
from imagemill.webhooks.endpoints import EndpointService
from imagemill.webhooks.outbox import Delivery
from imagemill.workflows.service import Workflows

if TYPE_CHECKING:
    from fastapi import APIRouter

    from imagemill.webhooks.batch_callbacks import BatchFormat
    from imagemill.webhooks.messages import WebhookData


@dataclass(frozen=True, slots=True)
class ResponseConfig:
    """The options of the answers of this installation."""

    signer: UrlSigner
    public_url: str | None
    """The public address without a slash at the end; None means the address of the request."""
    v1_result: Literal["object", "array"]


class SettingView(Protocol):
    """A setting and its value; see `imagemill.bootstrap.settings_reference.Setting`."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def default(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def is_changed(self) -> bool: ...
    @property
    def purpose(self) -> str: ...
    @property
    def takes(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Services:
    database: Database
    jobs: JobStore
    batches: BatchStore
    accounts: AccountStore
    quotas: QuotaStore
    access: Access
    users: Users
    browser_sessions: BrowserSessions
    audit: Audit
    hub: Hub
    feed: Feed
    blobs: BlobStore
    thumbnails: Thumbnails
    registry: Registry
    nodes: NodeRegistry
    workflows: Workflows
    submitter: Submitter
    credits: CreditService
    throttle: RequestLimiter | None
    """None means no limits."""
    views: ViewLoader
    webhooks: EndpointService
    guard: UrlGuard
    inputs: InputPictures
    recipes: Mapping[str, Recipe]
    backends: Mapping[str, Backend]
    offers: Callable[[], list[Offer]]
    """Returns the jobs that the slots of this process can run now; empty without slots."""
    capacity: Capacity
    prompt_chars: int
    wait_s: float
    response_config: ResponseConfig
    tickets: SocketTickets
    processes: ProcessStore
    pauses: Pauses
    operations: Operations
    statistics: StatisticsStore
    placement: PlacementRules
    """The rules by which slots choose jobs."""
    probes: Mapping[str, HealthProbe]
    """Checks of the parts that the server cannot work without, by the part's name."""
    doctor: Callable[[], Iterator[Finding]]
    """Checks the installation and yields what it finds; each step may block for seconds."""
    settings: Callable[[], Sequence[SettingView]]
    """Returns all settings of this process with their sources. May block."""
    simulator: SimulatorControl | None
    """None means that the simulator is disabled."""
    secret: Callable[[str], bytes]
    """Returns a secret of this installation by its name. It is drawn when it is first needed. May block."""


@dataclass(frozen=True, slots=True)
class ApiModule:
    """A part of the HTTP API: our own, a product's, or a foreign protocol's. See `imagemill.api.jobs`."""

    name: str
    """Stored with each job that was submitted by it."""
    router: "APIRouter | Callable[[Services, Any], APIRouter]"
    """A router at module level, or a function that builds one from the services and the module's settings."""
    callback: Format
    context: Callable[[Services, Any], Any] | None = None
    """Builds, once a process, the object that handlers receive by `imagemill.api.dependencies.context`."""
    batch_format: "Callable[[Services], BatchFormat] | None" = None
    """Builds the format of the callbacks of its batches (`imagemill.webhooks.batch_callbacks`)."""
    settings: str | None = None
    """The name of the settings group that ``router``, ``context`` and ``webhook_format`` receive."""
    webhook_format: Callable[[Services, Any], Format] | None = None
    """Replaces ``callback`` where the body needs more than the delivery."""
    webhook_data: "Callable[[Services], WebhookData] | None" = None
    """Builds the function that writes the data of webhook messages about its jobs, instead of the job."""
    policies: tuple[PathPolicy, ...] = ()
    """Permissions, caching and CORS of its paths; a path without a policy is for administrators only."""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    """Each tag of its routes with a sentence for the documentation."""
    document: str | None = None
    """The name of the OpenAPI document its routes stand in, served as ``/openapi/NAME.json``; None means
    ``/openapi.json``, our own API's."""
    extra_openapi: Callable[[Services, Caller | None], Mapping[str, Any]] | None = None
    """Returns further paths of the OpenAPI document as this caller sees it, None for an unknown one. They may
    change while the server runs. May block."""


def no_callback(delivery: Delivery) -> Mapping[str, Any]:
    """Refuse a callback; for modules that accept no jobs."""
    raise NotFound(f"job {delivery.job.id} was not submitted by this API")
