"""Builders of the smaller components of `imagemill.bootstrap.application`."""

import logging
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagemill.accounts.access import Access
from imagemill.accounts.browser_sessions import BrowserSessions
from imagemill.accounts.mail import FolderTransport, MailTransport, SmtpTransport
from imagemill.accounts.passwords import Passwords
from imagemill.accounts.throttle import AttemptLimiter
from imagemill.accounts.tokens import Tokens, UnusableKey
from imagemill.accounts.users import SessionTokens, Users
from imagemill.api.base import ResponseConfig
from imagemill.backends.base import Backend, is_remote
from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.backends.simulator.backend import Simulator
from imagemill.backends.simulator.control import SimulatorControl
from imagemill.backends.simulator.faults import STUCK, is_stuck
from imagemill.blobs.base import BlobStore
from imagemill.blobs.local import LocalBlobs
from imagemill.blobs.settings import S3Settings
from imagemill.bootstrap.plugins import CallbackFormats
from imagemill.bootstrap.stores import Stores
from imagemill.config import Settings
from imagemill.credits.pricing import Prices
from imagemill.db.database import Database
from imagemill.dispatch.base import BROKERED, Offers, route
from imagemill.domain.access import digest
from imagemill.domain.credits import Rate
from imagemill.domain.dataclass import dataclass
from imagemill.domain.durability import make_folder, write_once
from imagemill.domain.errors import MissingExtra, StorageError
from imagemill.domain.jobs import SIMULATOR
from imagemill.domain.nodes import Finding, NodeConfig, NodeReport
from imagemill.domain.quotas import Limits, QuotaPolicy
from imagemill.domain.scheduling import TASKS
from imagemill.domain.signing import UrlSigner
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.node_models import NodeModels
from imagemill.jobs.attempt import RunOptions, StartRateLimit
from imagemill.jobs.capacity import usable_nodes
from imagemill.jobs.instant import InstantRunner
from imagemill.jobs.leadership import ProcessLock
from imagemill.jobs.outputs import OutputChecks, OutputLimits
from imagemill.jobs.runner import Runner
from imagemill.jobs.store.store import JobStore
from imagemill.jobs.submit import SubmitDefaults, Submitter
from imagemill.model_registry.family_support import family_refusal
from imagemill.model_registry.registry import Registry
from imagemill.observability.tracing import Tracer
from imagemill.quotas.service import QueueDeadlineCheck, Quotas, RequestLimiter
from imagemill.quotas.store import QuotaStore
from imagemill.recipes.base import Recipe, ResourceResolver
from imagemill.safety.gates import PromptGate

if TYPE_CHECKING:
    from imagemill.dispatch.fleet import FleetDispatcher
    from imagemill.dispatch.inline import InlineDispatcher
    from imagemill.dispatch.slots import RunAll
    from imagemill.pubsub.base import PubSub
    from imagemill.web.middleware import EdgeRules
    from imagemill.webhooks.messages import WebhookEvent

log = logging.getLogger(__name__)


class NodeBackendAdapter:
    """Configures the ComfyUI backend. The simulator is disabled while there are nodes or a paid provider."""

    def __init__(self, settings: Settings, backends: Mapping[str, Backend]) -> None:
        self._simulator = backends.get("simulator") if settings.simulator.enabled == "auto" else None
        comfyui = backends["comfyui"]
        assert isinstance(comfyui, ComfyUI)  # noqa: S101 - the name is ours
        self._comfyui = comfyui
        self._has_remote = any(map(is_remote, backends.values()))

    def configure(self, nodes: Sequence[NodeConfig]) -> None:
        self._comfyui.configure(nodes)
        if isinstance(self._simulator, Simulator):
            self._simulator.pause(bool(nodes) or self._has_remote)

    def models(self) -> Sequence[NodeModels]:
        return self._comfyui.models()

    def catalogues(self) -> Sequence[Catalogue]:
        return self._comfyui.catalogues()

    def reports(self) -> Sequence[NodeReport]:
        return self._comfyui.reports()

    def examine(self, name: str) -> Iterator[Finding]:
        return self._comfyui.examine(name)


def is_available(backends: Mapping[str, Backend], key: str) -> bool:
    """Whether some node may have the model with this key."""
    nodes = (node for backend in backends.values() for node in backend.nodes())
    return any(node.available is None or key in node.available for node in nodes)


def simulator_control(database: Database, backends: Mapping[str, Backend]) -> SimulatorControl | None:
    simulator = backends.get(SIMULATOR)
    if not isinstance(simulator, Simulator):
        return None
    return SimulatorControl(database, simulator.tuning, lambda: simulator.is_paused)


def build_access(settings: Settings, stores: Stores) -> tuple[Access, Users]:
    """Return the authentication of requests and the users."""
    found = tokens(settings)
    guard = access(settings, stores, found)
    return guard, users(settings, stores, found, guard.forget)


def access(settings: Settings, stores: Stores, tokens: Tokens) -> Access:
    session = SessionTokens(stores.sessions, tokens).caller
    browser = browser_sessions(settings, stores.database).caller
    is_reachable = not is_loopback(settings.host)
    return Access(stores.accounts, settings.auth, settings.owner, session, browser, is_reachable=is_reachable)


def browser_sessions(
    settings: Settings, database: Database, forget: Callable[[], None] = lambda: None
) -> BrowserSessions:
    """Return the sessions of browsers; ``forget`` empties the caches of callers."""
    key = settings.auth.admin_key
    return BrowserSessions(database, digest(key.get_secret_value()) if key is not None else None, forget)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on ``host``."""
    name = host.strip().strip("[]").lower().rstrip(".")
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def tokens(settings: Settings) -> Tokens:
    auth = settings.auth
    if not auth.jwt_algorithm.startswith("HS"):
        MissingExtra.check("cryptography", "crypto", f"IMAGEMILL_AUTH__JWT_ALGORITHM={auth.jwt_algorithm}")

    def keys() -> list[str]:
        own = auth.jwt_secret_key
        if own is None and not auth.jwt_algorithm.startswith("HS"):
            raise UnusableKey(
                f"IMAGEMILL_AUTH__JWT_SECRET_KEY: {auth.jwt_algorithm} needs a private key, as PEM"
            )
        first = own.get_secret_value() if own else secret_file(_secrets(settings) / "jwt.key").decode()
        return [first, *(key.get_secret_value() for key in auth.jwt_former_keys)]

    return Tokens(auth.jwt_algorithm, keys, life_s=auth.jwt_expire_minutes * 60)


def users(settings: Settings, stores: Stores, tokens: Tokens, forget: Callable[[], None]) -> Users:
    auth = settings.auth
    return Users(
        stores.accounts,
        stores.users,
        stores.sessions,
        tokens,
        Passwords(auth.password_memory_mb),
        outbox(settings),
        AttemptLimiter(stores.attempts, window_s=auth.login_window_s),
        auth,
        forget,
        reset_url=settings.mail.reset_url,
    )


def outbox(settings: Settings) -> MailTransport | None:
    """Return the transport of mail; None means that no mail can be sent."""
    mail = settings.mail
    if mail.folder is not None:
        return FolderTransport(mail.folder, mail.sender)
    if mail.smtp_host is None:
        return None
    return SmtpTransport(mail.smtp_host, mail)


def edge_rules(settings: Settings) -> "EdgeRules":
    from imagemill.api.uploads import PATH as UPLOADS
    from imagemill.domain.blob_urls import V2_PATH as BLOBS
    from imagemill.web.forms import FORM_BYTES
    from imagemill.web.middleware import EdgeRules

    limit = settings.limit
    return EdgeRules(
        hosts=settings.allowed_host_headers,
        body_bytes=limit.body_bytes,
        body_s=limit.body_s,
        origins=settings.cors.origins,
        contract_origins=settings.cors.contract_origins,
        proxies=settings.trusted_proxies,
        larger_bodies=dict.fromkeys((UPLOADS, BLOBS), max(limit.body_bytes, limit.input_bytes + FORM_BYTES)),
        access_log=settings.access_log,
        prefixes=settings.fal_api.prefixes,
    )


def picture_urls(settings: Settings) -> list[str]:
    """Return the addresses from which clients load pictures, beside the one they call."""
    store = settings.s3
    if store.bucket is None or store.delivery != "redirect":
        return [settings.public_url] if settings.public_url else []
    # A store that is named by no address, or by one host for each bucket, is some host with TLS.
    named = (store.public_endpoint or store.address) if store.path_style else None
    return [*([settings.public_url] if settings.public_url else []), named or "https:"]


def recipes(settings: Settings, found: Sequence[Recipe | Callable[[Settings], Recipe]]) -> dict[str, Recipe]:
    """Return the recipes by name; those that are registered as a function are built from the settings."""
    built = [each if isinstance(each, Recipe) else each(settings) for each in found]
    return {recipe.name: recipe for recipe in built}


def lazy_renderer(
    signer: UrlSigner, base_url: str, formats: CallbackFormats
) -> "Callable[[WebhookEvent], Mapping[str, Any]]":
    """Return the renderer of webhook messages. It uses our own API's format, loaded for the first message."""

    def render(told: "WebhookEvent") -> Mapping[str, Any]:
        from imagemill.api.webhooks import renderer

        return renderer(signer, base_url, formats.of_webhooks)(told)

    return render


def prices(settings: Settings, recipes: Mapping[str, Recipe]) -> Prices:
    rates = {name: Rate(**given.model_dump()) for name, given in settings.credits.prices.items()}
    known = {*recipes, *(name for recipe in recipes.values() for name in recipe.rates)}
    for name in sorted(set(rates) - known):
        log.warning("IMAGEMILL_CREDITS__PRICES names %r, which is not a recipe of this server", name)
    return Prices(recipes, rates, settings.credits.backends, is_charged=settings.credits.enabled)


def submitter(
    settings: Settings,
    defaults: SubmitDefaults,
    gate: PromptGate,
    store: JobStore,
    resolver: Callable[[str, frozenset[str]], ResourceResolver],
    recipes: Mapping[str, Recipe],
    backends: Mapping[str, Backend],
    registry: Registry,
) -> Submitter:
    quotas = Quotas()
    if (held_to := terms(settings)) is not None:
        quotas = Quotas(held_to, QueueDeadlineCheck(store.workload) if settings.quota.refuse_late else None)

    def extra_labels(properties: Mapping[str, Any]) -> tuple[str, ...]:
        simulator = backends.get(SIMULATOR) if is_stuck(properties) else None
        return (STUCK,) if simulator is not None and usable_nodes(simulator) else ()

    rates = prices(settings, recipes)
    parts = (store, resolver, recipes, backends, defaults, rates, quotas, gate)
    return Submitter(
        *parts,
        extra_labels=extra_labels,
        missing_hint=registry.missing_hint,
        family_refusal=partial(family_refusal, registry.installed),
    )


def throttle(settings: Settings, quotas: QuotaStore) -> RequestLimiter | None:
    held_to = terms(settings)
    return RequestLimiter(quotas, held_to, settings.auth.remember_s) if held_to is not None else None


def terms(settings: Settings) -> QuotaPolicy | None:
    quota = settings.quota
    if not quota.enabled:
        return None
    return QuotaPolicy(
        account=Limits(
            quota.requests_per_minute,
            quota.jobs_in_flight,
            quota.megapixels_per_day,
            quota.cooldown_s,
            quota.jobs_per_day,
        ),
        end_user=Limits(
            quota.end_user.requests_per_minute,
            quota.end_user.jobs_in_flight,
            quota.end_user.megapixels_per_day,
            quota.end_user.cooldown_s,
            quota.end_user.jobs_per_day,
        ),
        roles=frozenset(quota.roles),
        free=frozenset({settings.owner}),
        most_jobs=quota.most_jobs,
    )


def make_data_folder(settings: Settings) -> None:
    """Create the data folder, which only this user may read."""
    make_folder(settings.data_dir, 0o700)


def signing_key(settings: Settings) -> bytes:
    """Return the signing key of the settings, which machines may share, or this installation's own."""
    if settings.url_signing_key is not None:
        return settings.url_signing_key.get_secret_value().encode()
    return secret_file(_secrets(settings) / "url-signing.key")


def url_signer(settings: Settings) -> UrlSigner:
    return UrlSigner(signing_key(settings), life_s=settings.url_life_s)


def secret(settings: Settings, name: str) -> bytes:
    """Return a secret of this installation."""
    return secret_file(_secrets(settings) / f"{name}.key")


def admin_key_file(settings: Settings) -> Path:
    """Return the file of the administrator's key that `serve --generate-key` makes."""
    return _secrets(settings) / "admin.key"


def _secrets(settings: Settings) -> Path:
    return settings.data_dir / "secrets"


def secret_file(path: Path) -> bytes:
    """Return a random secret, made at first use and readable by this user only."""
    make_folder(path.parent, 0o700)
    return write_once(path, secrets.token_hex(32).encode())


def of_submits(settings: Settings) -> SubmitDefaults:
    job = settings.job
    private = frozenset(settings.fal.private_owners)
    return SubmitDefaults(job.life_s, job.max_failures, settings.limit.jobs_per_request, private)


def of_runs(settings: Settings, examination: OutputChecks, *, alone: bool) -> RunOptions:
    """Return the options of runners. ``alone``: no other process runs these jobs."""
    limit = settings.limit
    return RunOptions(
        timeout_s=_longest_s(settings, alone),
        limits=OutputLimits(limit.image_pixels, limit.output_bytes, settings.blobs.patience_s),
        start_rate=StartRateLimit(settings.job.per_minute),
        output_checks=examination,
        previews=settings.comfyui.previews != "off",
    )


def _longest_s(settings: Settings, alone: bool) -> float:
    """Return the longest attempt in seconds: the last job of a Celery task must end within its limit."""
    celery, longest_s = settings.celery, settings.job.timeout_s
    if settings.broker_url is None or alone:
        return longest_s
    return min(longest_s, celery.soft_time_limit_s - celery.token_s)


_ANSWER_S = 10.0
"""Seconds between a task's time limit and Celery's own, in which the task returns its result."""


def task_time_limit_s(settings: Settings) -> float:
    """Return the seconds after which a task that an application sent should have answered."""
    limit_s = settings.celery.soft_time_limit_s
    return max(limit_s - _ANSWER_S, limit_s / 2)


def address(settings: Settings) -> str:
    """Return the public address of this installation, for URLs in messages that answer no request."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - no bind
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


_LONGEST_IDLE_S = 5.0


def idle_pause(settings: Settings, is_relayed: Callable[[], bool]) -> Callable[[], float]:
    """Return what says how long idle threads wait for a wake-up before they look for work themselves: the
    pause between two sweeps, and five times that while the wake-ups of other processes arrive."""
    short = settings.sweep_s
    long = max(short, min(5 * short, _LONGEST_IDLE_S))
    return lambda: long if is_relayed() else short


def of_answers(settings: Settings) -> ResponseConfig:
    return ResponseConfig(
        url_signer(settings),
        settings.public_url.rstrip("/") if settings.public_url else None,
        settings.civitai.result_shape,
    )


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A process as the receiver of wake-ups. ``inline`` wakes its own slots at once."""

    name: str
    inline: "InlineDispatcher | None"
    works: bool
    queues: frozenset[str] | None
    under_celery: bool
    slots: int | None
    shared: InstantRunner | None


def build_pubsub(
    settings: Settings, lock: ProcessLock, *, alone: bool, notices: bool, works: bool = True
) -> "PubSub | None":
    """Return the channel between processes: Redis where there is one, sockets in the data folder for SQLite,
    whose processes share a machine, else PostgreSQL. Without one the database is polled.

    None for a single process on PostgreSQL, on PostgreSQL behind a pooler, and for SQLite on Windows.
    ``notices``: whether requests of this process wait for events of jobs. ``works``: whether it has slots.
    """
    sender = lock.worker
    if settings.pubsub_redis_url:
        try:
            from imagemill.pubsub.redis import RedisPubSub
        except ModuleNotFoundError as error:
            raise _missing(error) from error
        return RedisPubSub(settings.pubsub_redis_url, sender, job_events=notices)
    if settings.database.startswith("sqlite") and hasattr(socket, "AF_UNIX"):
        from imagemill.pubsub.sockets import SocketPubSub, Wishes

        folder = settings.data_dir / "run" / "sockets"
        return SocketPubSub(folder, sender, lock.is_dead, wishes=Wishes(notices, works))
    if settings.pubsub_postgres_url and not alone:
        from imagemill.pubsub.postgres import PostgresPubSub

        scheme, _, rest = settings.pubsub_postgres_url.partition("://")
        return PostgresPubSub(f"{scheme.partition('+')[0]}://{rest}", sender)
    return None


def instant_runner(
    settings: Settings,
    runner: Runner,
    backends: Mapping[str, Backend],
    blobs: BlobStore,
    tracer: Tracer | None,
    answers: bool,
) -> InstantRunner | None:
    """Return what runs several jobs in turn on one thread.

    None where they would wait for an object store one after the other, or are traced, as their spans would
    mix. ``answers``: whether this process also answers the clients. Where another one of the machine does, it
    goes on with them while this one goes on with the next jobs; on PostgreSQL fewer transactions pay more.
    """
    if settings.s3.bucket is not None or tracer is not None:
        return None
    in_groups = not answers and settings.database.startswith("sqlite")
    return InstantRunner(runner, backends, blobs, at_once=6 if in_groups else 16)


def build_fleet(
    settings: Settings,
    post: WorkerProcess,
    run_all: "RunAll",
    offers: Offers,
    waits: Callable[[], set[str]],
    call: Callable[[str], None],
) -> "FleetDispatcher | None":
    """Return the dispatcher of wake-ups over a broker; None without a broker.

    ``waits`` returns the queues with claimable jobs; ``call`` asks all other workers to check a queue.
    """
    if settings.broker_url is None:
        return None
    try:
        from imagemill.dispatch.celery_broker import CeleryBroker, make_app
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    from imagemill.dispatch.fleet import FleetDispatcher, WakeupSender
    from imagemill.dispatch.slots import SlotPool

    tokens = WakeupSender(CeleryBroker(make_app(settings)), waits)
    if not post.works or post.inline is not None:
        return FleetDispatcher(tokens, waits, call, inline=post.inline)
    celery = settings.celery
    floor = SlotPool(
        run_all,
        offers,
        waits,
        wakeup_s=celery.token_s,
        poll_s=celery.poll_s,
        max_jobs=post.slots,
        shared=post.shared,
    )
    dispatcher = FleetDispatcher(tokens, waits, call, pool=floor)
    if not post.under_celery:
        from imagemill.dispatch.celery_consumer import CeleryConsumer

        app = make_app(settings, dispatcher.work)
        dispatcher.attach_consumer(
            CeleryConsumer(app, consumed(post.queues), slots=floor.slots, name=post.name)
        )
    return dispatcher


def consumed(chosen: frozenset[str] | None) -> frozenset[str]:
    """Return the broker's queues a worker consumes to serve the ``chosen`` queues; None means all."""
    if chosen is None:
        return frozenset(BROKERED)
    return frozenset(map(route, (*chosen, TASKS)))


def _missing(error: ModuleNotFoundError) -> MissingExtra:
    return MissingExtra(f"{error.name} is not installed; a broker needs: pip install 'imagemill[celery]'")


def open_blobs(folder: Path, s3: S3Settings, *, fsync: bool = True) -> BlobStore:
    """Return the blob store, not connected yet; ``fsync`` is that of `LocalBlobs`.

    Raises `StorageError` for unusable settings.
    """
    if s3.bucket is None:
        return LocalBlobs(folder, fsync=fsync)
    try:
        from imagemill.blobs.s3 import S3Blobs  # costs 7 MB and 20 ms, so it is imported only when used
    except ImportError as error:
        raise StorageError("S3 needs the extra: pip install 'imagemill[s3]'") from error
    return S3Blobs(s3)
