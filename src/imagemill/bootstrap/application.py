"""Building the parts and connecting them; the only module that knows them all."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from imagemill.accounts.audit import Audit
from imagemill.api.base import Services, SocketRules
from imagemill.backends.base import Backend, Surroundings
from imagemill.backends.comfyui.settings import configured
from imagemill.blobs.base import BlobStore
from imagemill.blobs.metered import MeteredBlobs
from imagemill.bootstrap import build
from imagemill.bootstrap.build import RealNodes, entrance, open_blobs
from imagemill.bootstrap.observer import Metering
from imagemill.bootstrap.plugins import Formats, plugins
from imagemill.bootstrap.safety import Safeguards
from imagemill.config import Settings
from imagemill.credits.provider_calls import Providers
from imagemill.credits.service import Credits
from imagemill.db import migrate
from imagemill.db.engine import open_database
from imagemill.db.group_commit import Committed
from imagemill.dispatch.base import Dispatcher, Offers
from imagemill.dispatch.inline import InlineDispatcher
from imagemill.domain.clock import SECOND, now_us
from imagemill.graphs.builtin import NAMES, builtin
from imagemill.jobs.attempt import Preparation
from imagemill.jobs.hub import Hub, ViewLoader
from imagemill.jobs.inputs import OwnersShelf
from imagemill.jobs.leadership import Leadership, Lifeline
from imagemill.jobs.runner import Runner
from imagemill.jobs.store.store import Store
from imagemill.jobs.sweeper import Sweeper
from imagemill.model_registry.registry import Registry
from imagemill.net.guarded_client import Guard
from imagemill.nodes.registry import NodeRegistry
from imagemill.products.characters.preparation import Workbench
from imagemill.products.characters.prompts.translator import Translator
from imagemill.products.library.service import Library
from imagemill.pubsub.base import Ears, News
from imagemill.pubsub.threads import Listening
from imagemill.recipes.base import Recipe
from imagemill.webhooks.callbacks import Notifier
from imagemill.webhooks.endpoints import Webhooks
from imagemill.webhooks.messages import Messenger
from imagemill.workflows.service import Workflows

if TYPE_CHECKING:
    from imagemill.api.base import Dialect
    from imagemill.dispatch.fleet import FleetDispatcher
    from imagemill.products.library.tasks import Generator


@dataclass(frozen=True, slots=True)
class Roles:
    """What a process does. `serve` is all three."""

    api: bool = True
    scheduler: bool = True
    worker: bool = True
    queues: frozenset[str] | None = None
    """Queues a worker serves; None: all."""
    hosted: bool = False
    """Celery's own command runs this process and brings the wake-ups."""
    slots: int | None = None
    """Jobs at once in a hosted process; None: as many as its nodes have slots."""

    @property
    def alone(self) -> bool:
        return self.api and self.scheduler and self.worker


log = logging.getLogger(__name__)

_ALONE_POLL_S = 2.0
"""How often a monolith looks for events of other processes, of which there should be none."""


class Mill:
    """A process of Imagemill: built stopped, then started, then closed."""

    def __init__(self, settings: Settings, roles: Roles | None = None) -> None:
        self.settings = settings
        self.roles = roles or Roles()
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        migrate.upgrade(settings.database)
        self.lifeline = Lifeline(settings.data_dir / "run")
        self.store = Store(
            open_database(
                settings.database,
                sqlite_full_sync=settings.sqlite_full_sync,
                pooler=settings.database_pooler,
            )
        )
        self.store.ensure_owner(settings.owner, now_us())
        self.metering = Metering.of(settings, self.lifeline, self.store)
        stored = open_blobs(settings.data_dir / "blobs", settings.s3)
        self.blobs: BlobStore = MeteredBlobs(stored, self.metering.blob)
        self.registry = Registry(
            self.store, strict=settings.resources.strict, is_available=self._some_backend_has
        )
        self.backends = self._backends()
        self.recipes: dict[str, Recipe] = build.recipes(settings, plugins("recipes"))
        poll_s = settings.scheduler_poll_ms / 1000
        me, alone = self.lifeline.worker, self.roles.alone
        self.fanout = build.fanout(settings, me, alone=alone, notices=self.roles.api)
        self.hub = Hub(
            self.store.progress_of,
            poll_s=_ALONE_POLL_S if self.roles.alone else poll_s,
            most=settings.limit.streams,
            relay=self.fanout,
        )
        self.guard = Guard(settings.allow_networks)
        self.safeguards = Safeguards(settings, self.store)
        self.inputs = self.safeguards.inputs(self.store, self.blobs, self.guard)
        self.chat = build.chat(settings)
        self.runner = self._runner()
        self.offers = Offers(self.backends, worker=self.lifeline.worker, chosen=self.roles.queues)
        self.inline = self._inline()
        self.fleet = self._fleet()
        self.dispatcher: Dispatcher = self.fleet or self.inline
        self.leadership = Leadership(self.store, self.lifeline, lease_s=settings.leader_lease_s)
        self.messenger = self._messenger()
        self.sweeper = self._sweeper()
        self.node_backend = RealNodes(settings, self.backends)
        self.nodes = NodeRegistry(self.store, tuple(configured(settings.comfyui)), self.node_backend)
        self.services = self._services()
        self.notifier = self._notifier()
        self._listening: Listening | None = None
        self.store.listen(self._committed)
        self.metering.look_at(self.offers, self.store if self.roles.api or self.roles.scheduler else None)

    @cached_property
    def dialects(self) -> Sequence["Dialect"]:
        """Loaded where they are needed: a process without HTTP starts without them."""
        return plugins("dialects")

    def start(self) -> None:
        """Run what this process is for. Its own former leases are taken back before anything else."""
        self.metering.start(needed=not (self.roles.hosted or self.roles.api))
        if self.fanout is not None and not self.roles.api:
            self._listening = Listening(self.fanout, self._ears())
            self._listening.start()
        if self.settings.resources.seed:
            self.services.registry.seed()
        self.nodes.start()
        if self.roles.scheduler:
            self.sweeper.sweep()
            self.sweeper.start()
            self.notifier.start()
            self.messenger.start()
        if self.roles.worker:
            self.dispatcher.start()

    def drain(self) -> None:
        """Claim no more, let running jobs finish or hand them back, then let waiting requests go."""
        self.dispatcher.leave()
        self.runner.close(self.settings.shutdown_grace_s)
        self.hub.close()

    def work(self, queue: str) -> int:
        """What a wake-up does in a process that Celery runs; how many jobs it ran."""
        return self.fleet.work(queue) if self.fleet is not None else 0

    def generator(self) -> "Generator":
        """Of a process that Celery runs: the tasks of applications."""
        from imagemill.products.library.tasks import Generator

        return Generator(self.store, self.services.library, build.of_generator(self.settings))

    def close(self) -> None:
        """Drain, deliver nothing more, let go."""
        self.drain()
        self.dispatcher.close()
        self.sweeper.close()
        self.notifier.close()
        self.messenger.close()
        self.leadership.resign()
        self.nodes.close()
        self.inputs.close()
        self.safeguards.crafts.close()
        if self.chat is not None:
            self.chat.close()
        self.services.users.close()
        for backend in self.backends.values():
            backend.close()
        self.metering.close()
        self.store.close()
        if self._listening is not None:
            self._listening.close()
        if self.fanout is not None:
            self.fanout.close()
        self.lifeline.close()

    @contextlib.asynccontextmanager
    async def running(self, _app: Any = None) -> AsyncIterator[None]:
        """For as long as the HTTP server runs."""
        await asyncio.to_thread(self.start)
        tasks = [asyncio.create_task(self.hub.poll())]
        if self.fanout is not None:
            tasks.append(asyncio.create_task(self.fanout.listen(self._ears())))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.to_thread(self.close)

    def _committed(self, committed: Committed) -> None:
        self.metering.note(committed)
        self.hub.tell(committed.notices, committed.views)
        for job_id in committed.stopped:
            self.runner.stop_job(job_id)
        for queue in committed.woken:
            self.dispatcher.wake(queue)
        if committed.called_back:
            self.notifier.wake()
            self.messenger.wake()
        if self.fanout is not None:
            self.fanout.tell([self._news(committed)])

    def _news(self, committed: Committed) -> News:
        """Where there is a broker it wakes the slots of other processes."""
        return News(
            notices=tuple(committed.notices),
            stopped=tuple(committed.stopped),
            woken=() if self.fleet is not None else tuple(sorted(committed.woken)),
            called_back=committed.called_back,
        )

    def _ears(self) -> Ears:
        return Ears(self._hear, self.hub.see, self.hub.look)

    def _hear(self, news: News) -> None:
        """Of another process."""
        self.hub.tell(news.notices)
        for job_id in news.stopped:
            self.runner.stop_job(job_id)
        for queue in news.woken:
            if self.fleet is not None:
                self.fleet.look()
            else:
                self.inline.wake(queue)
        if news.called_back:
            self.notifier.wake()
            self.messenger.wake()

    def _call(self, queue: str) -> None:
        if self.fanout is not None:
            self.fanout.tell([News(woken=(queue,))])

    def _waiting(self) -> set[str]:
        return {head.key.queue for head in self.store.heads()}

    def _remind(self) -> None:
        """Wake-ups may have been lost."""
        if self.fleet is not None:
            for queue in self._waiting():
                self.fleet.wake(queue)

    def _inline(self) -> InlineDispatcher:
        return InlineDispatcher(
            self.runner.run_all,
            self.backends,
            worker=self.lifeline.worker,
            queues=self.roles.queues,
            heads=self.store.heads,
            poll_s=self.settings.scheduler_poll_ms / 1000,
        )

    def _fleet(self) -> "FleetDispatcher | None":
        post = build.Post(
            name=f"{self.lifeline.worker}@imagemill",
            inline=self.inline if self.roles.alone else None,
            works=self.roles.worker,
            queues=self.roles.queues,
            hosted=self.roles.hosted,
            slots=self.roles.slots,
        )
        return build.fleet(self.settings, post, self.runner.run_all, self.offers, self._waiting, self._call)

    def _sweeper(self) -> Sweeper:
        return Sweeper(
            self.store,
            self.blobs,
            self.lifeline,
            build.of_sweeps(self.settings, self.backends),
            leads=self.leadership.leads,
            remind=self._remind,
            tidy=self._tidy,
        )

    def _tidy(self) -> None:
        self.messenger.prune()
        days = self.settings.characters.translations_days
        self.store.translations.prune(now_us() - round(days * 86_400 * SECOND))

    def _backends(self) -> Mapping[str, Backend]:
        calls = Providers(self.store.provider_calls, self.metering.meters)
        surroundings = Surroundings(self.lifeline.suffix, self.registry.path_of, calls)
        built = [factory(self.settings, surroundings) for factory in plugins("backends")]
        return {backend.name: backend for backend in built if backend is not None}

    def _runner(self) -> Runner:
        run_rules = build.of_runs(self.settings, self.safeguards.examination, alone=self.roles.alone)
        load, meters, tracer = self.inputs.load, self.metering.meters, self.metering.tracer
        translator = Translator(self.chat, self.store.translations)
        bench = Workbench(self.store, translator, load, self.safeguards.crafts.craft)
        preparation = Preparation(bench.tools, self.safeguards.prompts)
        parts = (self.store, self.recipes, self.backends, self.blobs, load, self.hub)
        return Runner(*parts, run_rules, meters, tracer, preparation)

    def _notifier(self) -> Notifier:
        notify_rules = build.of_callbacks(self.settings)
        formats = Formats(lambda: self.dialects, lambda: self.services)
        leads, seen = self.leadership.leads, self.metering
        told = {"meters": seen.meters, "tracer": seen.tracer}
        return Notifier(self.store, formats, self.guard, notify_rules, leads=leads, **told)

    def _messenger(self) -> Messenger:
        settings = self.settings
        render = build.late_renderer(build.of_answers(settings).signer, build.address(settings))
        leads, seen = self.leadership.leads, self.metering
        told = {"meters": seen.meters, "tracer": seen.tracer}
        return Messenger(self.store, self.guard, build.of_messages(settings), render, leads=leads, **told)

    def _services(self) -> Services:
        settings = self.settings
        access, users = entrance(settings, self.store)
        shelf = partial(OwnersShelf, self.registry, self.inputs)
        defaults = build.of_submits(settings)
        gate = self.safeguards.prompts
        submitter = build.submitter(settings, defaults, gate, self.store, shelf, self.recipes, self.backends)
        return Services(
            store=self.store,
            access=access,
            users=users,
            audit=Audit(self.store.audit),
            hub=self.hub,
            blobs=self.blobs,
            registry=self.registry,
            nodes=self.nodes,
            workflows=Workflows(self.store, self.node_backend.catalogues, [builtin(name) for name in NAMES]),
            submitter=submitter,
            library=Library(self.store, submitter, self.inputs, self.blobs, build.of_library(settings)),
            throttle=build.throttle(settings, self.store),
            credits=Credits(self.store.ledger, self.store.accounts, submitter.prices),
            views=ViewLoader(self.store),
            webhooks=Webhooks(self.store, self.guard, build.of_webhooks(settings), self.messenger.rouse),
            guard=self.guard,
            inputs=self.inputs,
            recipes=self.recipes,
            backends=self.backends,
            offers=self.offers.all,
            prompt_chars=settings.limit.prompt_chars,
            wait_s=settings.limit.wait_s,
            wire=build.of_answers(settings),
            options={"fal": settings.fal_api, "characters": settings.characters},
            secret=partial(build.secret, settings),
            sockets=SocketRules(**settings.socket.model_dump()),
        )

    def _some_backend_has(self, key: str) -> bool:
        return any(
            node.available is None or key in node.available
            for backend in self.backends.values()
            for node in backend.nodes()
        )


def application(mill: Mill) -> Any:
    """The ASGI application of a process with the API role."""
    from imagemill.api.app import create_app

    settings = mill.settings
    return create_app(
        mill.services,
        [dialect.router(mill.services) for dialect in mill.dialects],
        [permit for dialect in mill.dialects for permit in dialect.permits],
        edge=build.edge_rules(settings),
        redirect_to_blobs=settings.s3.delivery == "redirect",
        lifespan=mill.running,
        meters=mill.metering.meters,
        tracer=mill.metering.tracer,
        paths=lambda reader: {
            path: operations
            for dialect in mill.dialects
            if dialect.paths is not None
            for path, operations in dialect.paths(mill.services, reader).items()
        },
    )
