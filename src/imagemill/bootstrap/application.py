"""The application of a process: builds all components and connects them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import imagemill
from imagemill.accounts.audit import Audit
from imagemill.api.base import Services
from imagemill.backends.base import Backend, BackendContext
from imagemill.backends.comfyui.settings import configured_nodes
from imagemill.blobs.base import BlobStore
from imagemill.blobs.metered import MeteredBlobs
from imagemill.bootstrap import build
from imagemill.bootstrap.advance import Advancer
from imagemill.bootstrap.build import NodeBackendAdapter, build_access, open_blobs
from imagemill.bootstrap.inspection import diagnose, settings_in_use
from imagemill.bootstrap.observer import Observer
from imagemill.bootstrap.plugins import CallbackFormats, own_settings, plugins, product_checks
from imagemill.bootstrap.safety import SafetyComponents
from imagemill.bootstrap.stores import open_stores, upgrade_database
from imagemill.config import Settings
from imagemill.credits.provider_calls import PaidCallRecorder
from imagemill.credits.service import CreditService
from imagemill.db.clock_sync import ClockSync
from imagemill.db.group_commit import CommitSummary
from imagemill.dispatch.base import Dispatcher, Offers, served_queues
from imagemill.dispatch.inline import InlineDispatcher
from imagemill.domain.clock import now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.events import ChangedList, ListName
from imagemill.graphs.builtin import NAMES, builtin
from imagemill.graphs.families.table import load_families
from imagemill.jobs.attempt import Preparation
from imagemill.jobs.capacity import Capacity
from imagemill.jobs.gallery_files import Thumbnails
from imagemill.jobs.hub import Hub
from imagemill.jobs.inputs import OwnerResources
from imagemill.jobs.job_feed import Feed
from imagemill.jobs.leadership import LeaderElection, ProcessLock, WorkerDirectory
from imagemill.jobs.minutes import MinuteRecorder
from imagemill.jobs.operations.service import Operations
from imagemill.jobs.operations.worker import OperationWorker
from imagemill.jobs.pauses import Pauses
from imagemill.jobs.processes import ProcessReporter
from imagemill.jobs.runner import Runner
from imagemill.jobs.shared_reads import ViewLoader
from imagemill.jobs.sweeper import Sweeper
from imagemill.model_registry.names import InstalledModels
from imagemill.model_registry.registry import Registry
from imagemill.net import pools
from imagemill.net.pools import health_probes
from imagemill.net.url_guard import UrlGuard
from imagemill.nodes.registry import NodeRegistry
from imagemill.products.base import ProductContext, ProductParts, TaskContext, TaskRunner, installed_products
from imagemill.pubsub.base import ClusterEvent, EventHandlers
from imagemill.pubsub.threads import ListenerThread
from imagemill.recipes.base import Recipe
from imagemill.webhooks.batch_callbacks import BatchCallbackDispatcher, BatchOutbox
from imagemill.webhooks.callbacks import CallbackDispatcher
from imagemill.webhooks.delivery import DeliveryPauses
from imagemill.webhooks.endpoints import EndpointService
from imagemill.webhooks.messages import WebhookDispatcher
from imagemill.workflows.service import Workflows

if TYPE_CHECKING:
    from imagemill.api.base import ApiModule
    from imagemill.dispatch.fleet import FleetDispatcher


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles of a process. `serve` has all three."""

    api: bool = True
    scheduler: bool = True
    worker: bool = True
    queues: frozenset[str] | None = None
    """The queues a worker serves; None means all."""
    under_celery: bool = False
    """Whether Celery's own command runs this process and delivers the wake-ups."""
    slots: int | None = None
    """Jobs at once in a hosted process; None means as many as its nodes have slots."""

    @property
    def names(self) -> tuple[str, ...]:
        has = {"api": self.api, "scheduler": self.scheduler, "worker": self.worker}
        return tuple(name for name, is_there in has.items() if is_there)

    @property
    def is_single_process(self) -> bool:
        return self.api and self.scheduler and self.worker


log = logging.getLogger(__name__)

_ALONE_POLL_S = 2.0
"""Seconds between polls of a single process for events of other processes, of which there should be none."""


class Application:
    """A process of Imagemill: it is built, then started, then closed."""

    def __init__(self, settings: Settings, roles: Roles | None = None) -> None:
        self.settings = settings
        self.roles = roles or Roles()
        build.make_data_folder(settings)
        upgrade_database(settings)
        self.process_lock = ProcessLock(settings.data_dir / "run")
        self.stores = open_stores(settings)
        self.stores.jobs.ensure_owner(settings.owner, now_us())
        self.clock_sync = ClockSync(self.stores.database)
        self.idle_s = build.idle_pause(settings, self._is_relayed)
        self.pauses = Pauses(self.stores.pauses, idle_s=self.idle_s)
        self.observer = Observer.of(settings, self.process_lock, self.stores.jobs)
        stored = open_blobs(settings.data_dir / "blobs", settings.s3, fsync=settings.fsync)
        self.blobs: BlobStore = MeteredBlobs(stored, self.observer.blob)
        self.registry = Registry(
            self.stores.resources,
            strict=settings.resources.strict,
            is_available=lambda key: build.is_available(self.backends, key),
            installed=InstalledModels(lambda: self.node_backend.models(), load_families(settings.data_dir)),
        )
        self.backends = self._backends()
        alone, wishes = self.roles.is_single_process, {"notices": self.roles.api, "works": self.roles.worker}
        self.pubsub = build.build_pubsub(settings, self.process_lock, alone=alone, **wishes)
        self.hub = Hub(
            self.stores.jobs.progress_of,
            poll_s=_ALONE_POLL_S if alone else settings.scheduler_poll_ms / 1000,
            most=settings.limit.streams,
            most_of_owner=settings.limit.streams_of_owner,
            free_owner=settings.owner,
            relay=self.pubsub,
        )
        self.feed = Feed(self.stores.jobs, self.hub, self._is_relayed)
        self.guard = UrlGuard(settings.allow_networks)
        own = frozenset(backend.name for backend in self.backends.values() if backend.renders_in_process)
        self.safety = SafetyComponents(settings, self.stores.decisions, product_checks(settings), own)
        self.inputs = self.safety.inputs(self.stores.jobs, self.blobs, self.guard, build.url_signer(settings))
        self.products = self._products()
        recipes = [*plugins("recipes"), *(each for parts in self.products.values() for each in parts.recipes)]
        self.recipes: dict[str, Recipe] = build.recipes(settings, recipes)
        self.runner = self._runner()
        self.offers = Offers(
            self.backends,
            worker=self.process_lock.worker,
            served_queues=self.roles.queues,
            paused=self.pauses.stops,
        )
        parts = settings, self.runner, self.backends, self.blobs, self.observer.tracer, self.roles.api
        self.instant = build.instant_runner(*parts)
        self.inline = self._inline()
        self.fleet = self._fleet()
        self.dispatcher: Dispatcher = self.fleet or self.inline
        self.leader = LeaderElection(self.stores.leases, self.process_lock, lease_s=settings.leader_lease_s)
        formats = CallbackFormats(lambda: self.dialects, lambda: self.services, self.settings_group)
        self.webhooks = self._messenger(formats)
        self.sweeper = self._sweeper()
        self.advancer = self._advancer()
        self.operations = self._operations()
        self.statistics = self.stores.jobs.statistics()
        self.minutes = MinuteRecorder(self.statistics, self.stores.jobs.measure, self.leader.leads)
        self.node_backend = NodeBackendAdapter(settings, self.backends)
        self.nodes = NodeRegistry(
            self.stores.nodes, tuple(configured_nodes(settings.comfyui)), self.node_backend
        )
        self.simulator = build.simulator_control(self.stores.database, self.backends)
        self.services = self._services()
        self.reporter = ProcessReporter(
            self.stores.processes,
            self.process_lock.worker,
            self.roles.names,
            self.roles.queues,
            imagemill.__version__,
            partial(self.process_lock.own_nodes, self.backends) if self.roles.worker else tuple,
        )
        self.callbacks = self._notifier(formats)
        self.batch_callbacks = self._batch_notifier(formats)
        self._listening: ListenerThread | None = None
        self.stores.database.listen(self._on_commit)
        self.observer.collect_from(
            self.offers, self.stores.jobs if self.roles.api or self.roles.scheduler else None
        )

    @cached_property
    def dialects(self) -> Sequence["ApiModule"]:
        """The API modules, loaded at first use: a process without HTTP starts without them."""
        modules = [parts.api() for parts in self.products.values()]
        return [*plugins("dialects"), *(module for module in modules if module is not None)]

    def start(self) -> None:
        """Start the roles of this process. Leases of its earlier runs are reclaimed first."""
        self.clock_sync.start()
        self.observer.start(needed=not (self.roles.under_celery or self.roles.api))
        if self.pubsub is not None and not self.roles.api:
            self._listening = ListenerThread(self.pubsub, self._handlers())
            self._listening.start()
        if self.settings.resources.seed:
            self.services.registry.seed()
        self.nodes.start()
        self.pauses.start()
        if self.simulator is not None:
            self.simulator.start()
        self.reporter.start()
        if self.roles.scheduler:
            self.sweeper.sweep()
            self.sweeper.start()
            self.advancer.start()
            self.operations.start()
            self.minutes.start()
            self.callbacks.start()
            self.batch_callbacks.start()
            self.webhooks.start()
        if self.roles.worker:
            self.dispatcher.start()

    def drain(self) -> None:
        """Claim no more jobs, let running ones finish or hand them back, then end waiting requests."""
        self.dispatcher.stop_accepting()
        self.runner.close(self.settings.shutdown_grace_s)
        self.hub.close()
        self.feed.close()

    def work(self, queue: str) -> int:
        """Handle a wake-up in a process that Celery runs; return the number of jobs it ran."""
        return self.fleet.work(queue) if self.fleet is not None else 0

    def task_runner(self, product: str) -> TaskRunner:
        """The runner of a product's Celery tasks, for a process that Celery runs."""
        context = TaskContext(
            self.services, build.address(self.settings), build.task_time_limit_s(self.settings)
        )
        return self.products[product].tasks(context)

    def close(self) -> None:
        """Drain, end deliveries and close all resources."""
        self.drain()
        self.dispatcher.close()
        self.sweeper.close()
        self.advancer.close()
        self.operations.close()
        self.minutes.close()
        self.callbacks.close()
        self.batch_callbacks.close()
        self.webhooks.close()
        self.leader.resign()
        self.reporter.close()
        if self.simulator is not None:
            self.simulator.close()
        self.nodes.close()
        self.pauses.close()
        self.inputs.close()
        self.safety.decoder_pool.close()
        for each in (*self.products.values(), self.services.users, *self.backends.values()):
            each.close()
        self.observer.close()
        self.blobs.close()
        self.clock_sync.close()
        self.stores.close()
        if self._listening is not None:
            self._listening.close()
        if self.pubsub is not None:
            self.pubsub.close()
        self.process_lock.close()

    @contextlib.asynccontextmanager
    async def running(self, _app: Any = None) -> AsyncIterator[None]:
        """Start and close with the HTTP server: the lifespan of the ASGI application."""
        await pools.lifecycle(self.start)
        tasks = [asyncio.create_task(self.hub.poll()), asyncio.create_task(self.feed.poll())]
        if self.pubsub is not None:
            tasks.append(asyncio.create_task(self.pubsub.listen(self._handlers())))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await pools.lifecycle(self.close)

    def _on_commit(self, committed: CommitSummary) -> None:
        self.observer.on_commit(committed)
        self.feed.publish(committed.events, committed.changed_lists)  # first: whom the hub wakes reads it
        self.hub.publish(committed.events, committed.views)
        for job_id in committed.cancelled_jobs:
            self.runner.stop_job(job_id)
        for queue in committed.queues_with_work:
            self.dispatcher.wake(queue)
        if committed.has_deliveries:
            self.callbacks.wake()
            self.webhooks.wake()
        if committed.events:
            self.batch_callbacks.wake(added=committed.has_deliveries)
        advances = self.advancer.concerns(committed.status_changes)
        if advances:
            self.advancer.wake()
        self._on_changed_lists(committed.changed_lists)
        if self.pubsub is not None:
            event = ClusterEvent.of(committed, advances=advances, wakes_slots=self.fleet is None)
            self.pubsub.publish([event])

    def _handlers(self) -> EventHandlers:
        return EventHandlers(self._on_remote_event, self.hub.on_progress, self._on_connect)

    def _on_connect(self) -> None:
        """Look for what was missed before events of other processes arrived."""
        self.hub.look()
        self.feed.lose()
        if not self.roles.under_celery:  # where the broker delivers what was missed, within its limits
            self.dispatcher.wake_own("")
        for each in (self.callbacks, self.webhooks, self.batch_callbacks, self.pauses, self.operations):
            each.wake()
        for each in (self.advancer, self.sweeper):
            each.wake()

    def _is_relayed(self) -> bool:
        return self.pubsub is not None and self.pubsub.is_connected

    def _on_remote_event(self, event: ClusterEvent) -> None:
        """Handle an event of another process."""
        self.feed.publish(event.events, event.changed_lists)
        self.hub.publish(event.events)
        for job_id in event.cancelled_jobs:
            self.runner.stop_job(job_id)
        for queue in event.queues_with_work:
            self.dispatcher.wake_own(queue)
        if event.has_deliveries:
            self.callbacks.wake()
            self.webhooks.wake()
        if event.events or event.has_deliveries:
            self.batch_callbacks.wake(added=event.has_deliveries)
        if event.advances:
            self.advancer.wake()
        self._on_changed_lists(event.changed_lists)

    def _on_changed_lists(self, changed: Collection[ChangedList]) -> None:
        names = {each.name for each in changed}
        if ListName.PAUSES in names:
            self.pauses.wake()
        if names & {ListName.PAUSES, ListName.OPERATIONS}:
            self.operations.wake()

    def _ask_workers(self, queue: str) -> None:
        if self.pubsub is not None:
            self.pubsub.publish([ClusterEvent(queues_with_work=(queue,))])

    def _queues_with_work(self) -> set[str]:
        return {head.key.queue for head in self.stores.jobs.heads()}

    def _repeat_wake_ups(self) -> None:
        """Send wake-ups again for queues with work, since some may have been lost."""
        if self.fleet is not None:
            for queue in self._queues_with_work():
                self.fleet.wake(queue)

    def _inline(self) -> InlineDispatcher:
        return InlineDispatcher(
            self.runner.run_all,
            self.backends,
            worker=self.process_lock.worker,
            queues=self.roles.queues,
            heads=self.stores.jobs.heads,
            poll_s=self.settings.scheduler_poll_ms / 1000,
            paused=self.pauses.stops,
            is_relayed=self._is_relayed,
            shared=self.instant,
        )

    def _fleet(self) -> "FleetDispatcher | None":
        post = build.WorkerProcess(
            name=f"{self.process_lock.worker}@imagemill",
            inline=self.inline if self.roles.is_single_process else None,
            works=self.roles.worker,
            queues=self.roles.queues,
            under_celery=self.roles.under_celery,
            slots=self.roles.slots,
            shared=self.instant,
        )
        return build.build_fleet(
            self.settings, post, self.runner.run_all, self.offers, self._queues_with_work, self._ask_workers
        )

    def _sweeper(self) -> Sweeper:
        stores = self.stores
        return Sweeper(
            stores.jobs,
            self.blobs,
            self.process_lock,
            self.settings.job,
            self.settings.blobs,
            every_s=self.settings.sweep_s,
            outliving=frozenset(each.name for each in self.backends.values() if each.survives_worker),
            kept_prefixes=tuple(
                product.blob_prefix for product in installed_products() if product.blob_prefix
            ),
            quotas=stores.quotas,
            decisions=stores.decisions,
            calls=stores.provider_calls,
            leads=self.leader.leads,
            remind=self._repeat_wake_ups,
            tidy=self._prune_extras,
        )

    def _advancer(self) -> Advancer:
        def share() -> None:
            if self.pubsub is not None:
                self.pubsub.publish([ClusterEvent(advances=True)])

        return Advancer(
            self.products,
            lambda: self.services.submitter,
            idle_s=self.idle_s,
            leads=self.leader.leads,
            share=share,
        )

    def _operations(self) -> OperationWorker:
        stores = self.stores
        parts = (stores.operations, stores.jobs, stores.pauses, self.blobs)
        told = {"leads": self.leader.leads, "idle_s": self.idle_s}
        return OperationWorker(*parts, lambda: self.services.submitter, **told)

    def _prune_extras(self) -> None:
        self.webhooks.prune()
        self.operations.prune()
        for parts in self.products.values():
            parts.prune()

    def _products(self) -> Mapping[str, ProductParts]:
        """Build the products that are installed. Raises `InvalidSafety` for settings one cannot work with."""
        built: dict[str, ProductParts] = {}
        for product in installed_products():
            context = ProductContext(
                own_settings(product, self.settings),
                self.settings.owner,
                self.stores.database,
                self.stores.jobs,
                self.blobs,
                self.inputs.load,
                self.safety.decoder_pool.transform,
                self.settings.language_model,
                lambda: self.advancer.wake_all(),
                self.registry,
            )
            built[product.name] = product.build(context)
        return built

    def _backends(self) -> Mapping[str, Backend]:
        calls = PaidCallRecorder(self.stores.provider_calls, self.observer.metrics)
        surroundings = BackendContext(
            self.process_lock.suffix,
            self.registry.path_of,
            calls,
            # These are built later, as they need to know the backends.
            run_transform=lambda *call: self.safety.decoder_pool.transform(*call),
            load_input=lambda source: self.inputs.load(source),
        )
        built = [factory(self.settings, surroundings) for factory in plugins("backends")]
        return {backend.name: backend for backend in built if backend is not None}

    def _runner(self) -> Runner:
        options = build.of_runs(self.settings, self.safety.output_checks, alone=self.roles.is_single_process)
        load, meters, tracer = self.inputs.load, self.observer.metrics, self.observer.tracer
        jobs, transform = self.stores.jobs, self.safety.decoder_pool.transform
        preparation = Preparation(load, transform, self.safety.prompts, jobs.views_by_id)
        parts = (self.stores.jobs, self.recipes, self.backends, self.blobs, load, self.hub)
        return Runner(*parts, self.settings.job, options, meters, tracer, preparation)

    def _batch_notifier(self, formats: CallbackFormats) -> BatchCallbackDispatcher:
        parts = (BatchOutbox(self.stores.database), self.stores.jobs, formats.of_batches, self.guard)
        return BatchCallbackDispatcher(
            *parts, self.settings.webhook, **self._delivery_pauses(), meters=self.observer.metrics
        )

    def _notifier(self, formats: CallbackFormats) -> CallbackDispatcher:
        parts, seen = (self.stores.callbacks, formats, self.guard, self.settings.webhook), self.observer
        return CallbackDispatcher(*parts, **self._delivery_pauses(), meters=seen.metrics, tracer=seen.tracer)

    def _messenger(self, formats: CallbackFormats) -> WebhookDispatcher:
        settings, stores, seen = self.settings, self.stores, self.observer
        render = build.lazy_renderer(build.of_answers(settings).signer, build.address(settings), formats)
        parts = (stores.webhooks, stores.jobs, stores.accounts, self.guard, settings.webhook, render)
        return WebhookDispatcher(*parts, **self._delivery_pauses(), meters=seen.metrics, tracer=seen.tracer)

    def _delivery_pauses(self) -> DeliveryPauses:
        return {"poll_s": self.settings.sweep_s, "idle_s": self.idle_s, "leads": self.leader.leads}

    def _services(self) -> Services:
        settings = self.settings
        stores = self.stores
        access, users = build_access(settings, stores)
        resolver = partial(OwnerResources, self.registry, self.inputs)
        defaults = build.of_submits(settings)
        gate = self.safety.prompts
        submitter = build.submitter(
            settings,
            defaults,
            gate,
            stores.jobs,
            resolver,
            self.recipes,
            self.backends,
            self.registry,
        )
        return Services(
            database=stores.database,
            jobs=stores.jobs,
            batches=stores.batches,
            accounts=stores.accounts,
            quotas=stores.quotas,
            access=access,
            users=users,
            browser_sessions=build.browser_sessions(settings, stores.database, access.forget),
            audit=Audit(stores.audit),
            hub=self.hub,
            feed=self.feed,
            blobs=self.blobs,
            thumbnails=Thumbnails(
                self.blobs, self.safety.decoder_pool.transform, settings.limit.image_pixels
            ),
            registry=self.registry,
            nodes=self.nodes,
            workflows=Workflows(
                stores.workflows, self.node_backend.catalogues, [builtin(name) for name in NAMES]
            ),
            submitter=submitter,
            throttle=build.throttle(settings, stores.quotas),
            credits=CreditService(stores.ledger, stores.accounts, submitter.prices),
            views=ViewLoader(stores.jobs),
            webhooks=EndpointService(
                stores.webhooks, self.guard, settings.webhook, self.webhooks.reset_backoff
            ),
            guard=self.guard,
            inputs=self.inputs,
            recipes=self.recipes,
            backends=self.backends,
            offers=self.offers.all,
            capacity=self._capacity(),
            prompt_chars=settings.limit.prompt_chars,
            wait_s=settings.limit.wait_s,
            response_config=build.of_answers(settings),
            tickets=stores.tickets,
            processes=stores.processes,
            pauses=self.pauses,
            operations=Operations(stores.operations, stores.jobs),
            statistics=self.statistics,
            placement=settings.job.placement,
            probes=health_probes(database=stores.database.check, blobs=self.blobs.ping),
            doctor=partial(diagnose, settings),
            settings=partial(settings_in_use, settings),
            simulator=self.simulator,
            secret=partial(build.secret, settings),
        )

    def _capacity(self) -> Capacity:
        """Return the reporter of what can run. Its own roles a process need not read in the database."""
        known = WorkerDirectory(self.stores.processes, self.stores.leases, self.process_lock)
        roles = self.roles
        return Capacity(
            self.backends,
            {recipe.queue for recipe in self.recipes.values()},
            (lambda: [None]) if roles.worker and roles.queues is None else known.workers,
            lambda chosen, queue: bool(served_queues(frozenset({queue}), chosen)),
            (lambda: True) if roles.scheduler else known.has_scheduler,
            self._queues_with_work,
            self.pauses.current,
            lambda node: not roles.worker and self.process_lock.has(node),
            known.nodes,
        )

    def settings_group(self, name: str) -> Any:
        """Return the settings group of this name."""
        return getattr(self.settings, name)


def application(app: Application) -> Any:
    """Return the ASGI application of a process with the API role."""
    from imagemill.api.app import create_app

    settings = app.settings
    return create_app(
        app.services,
        app.dialects,
        app.settings_group,
        edge=build.edge_rules(settings),
        redirect_to_blobs=settings.s3.delivery == "redirect",
        picture_urls=build.picture_urls(settings),
        lifespan=app.running,
        meters=app.observer.metrics,
        tracer=app.observer.tracer,
    )
