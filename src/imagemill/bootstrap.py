"""Building the parts and connecting them; the only module that knows them all."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from imagemill import connecting, parts, rules
from imagemill.backends.base import Backend, Surroundings
from imagemill.backends.comfyui.settings import configured
from imagemill.blobs.base import BlobStore
from imagemill.blobs.metered import MeteredBlobs
from imagemill.blobs.opening import open_blobs
from imagemill.config import Settings
from imagemill.dispatch.base import Dispatcher
from imagemill.dispatch.inline import InlineDispatcher
from imagemill.dispatch.offers import Offers
from imagemill.domain.clock import SECOND, now_us
from imagemill.fanout.base import Ears, News
from imagemill.fanout.listening import Listening
from imagemill.metering import Metering
from imagemill.parts import RealNodes, entrance
from imagemill.plugins import Formats, plugins
from imagemill.recipes.base import Recipe
from imagemill.roles import Roles
from imagemill.safeguards import Safeguards
from imagemill.service.audit import Audit
from imagemill.service.credits import Credits
from imagemill.service.guard import Guard
from imagemill.service.hub import Hub
from imagemill.service.inputs import OwnersShelf
from imagemill.service.leading import Leadership
from imagemill.service.library import Library
from imagemill.service.lifeline import Lifeline
from imagemill.service.messages import Messenger
from imagemill.service.nodes import NodeRegistry
from imagemill.service.notify import Notifier
from imagemill.service.preparing import Preparation
from imagemill.service.providers import Providers
from imagemill.service.registry import Registry
from imagemill.service.run import Runner
from imagemill.service.services import Services, SocketRules
from imagemill.service.sweep import Sweeper
from imagemill.service.tools import Workbench
from imagemill.service.translating import Translator
from imagemill.service.views import ViewLoader
from imagemill.service.webhooks import Webhooks
from imagemill.service.workflows import Workflows
from imagemill.store import migrate
from imagemill.store.commits import Committed
from imagemill.store.engine import open_database
from imagemill.store.store import Store
from imagemill.workflows.builtin import NAMES, builtin

if TYPE_CHECKING:
    from imagemill.dialects.base import Dialect
    from imagemill.dispatch.fleet import FleetDispatcher
    from imagemill.dispatch.generating import Generator

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
        self.recipes: dict[str, Recipe] = parts.recipes(settings, plugins("recipes"))
        poll_s = settings.scheduler_poll_ms / 1000
        me, alone = self.lifeline.worker, self.roles.alone
        self.fanout = connecting.fanout(settings, me, alone=alone, notices=self.roles.api)
        self.hub = Hub(
            self.store.progress_of,
            poll_s=_ALONE_POLL_S if self.roles.alone else poll_s,
            most=settings.limit.streams,
            relay=self.fanout,
        )
        self.guard = Guard(settings.allow_networks)
        self.safeguards = Safeguards(settings, self.store)
        self.inputs = self.safeguards.inputs(self.store, self.blobs, self.guard)
        self.chat = parts.chat(settings)
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
        from imagemill.dispatch.generating import Generator

        return Generator(self.store, self.services.library, rules.of_generator(self.settings))

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
        post = connecting.Post(
            name=f"{self.lifeline.worker}@imagemill",
            inline=self.inline if self.roles.alone else None,
            works=self.roles.worker,
            queues=self.roles.queues,
            hosted=self.roles.hosted,
            slots=self.roles.slots,
        )
        return connecting.fleet(
            self.settings, post, self.runner.run_all, self.offers, self._waiting, self._call
        )

    def _sweeper(self) -> Sweeper:
        return Sweeper(
            self.store,
            self.blobs,
            self.lifeline,
            rules.of_sweeps(self.settings, self.backends),
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
        run_rules = rules.of_runs(self.settings, self.safeguards.examination, alone=self.roles.alone)
        load, meters, tracer = self.inputs.load, self.metering.meters, self.metering.tracer
        translator = Translator(self.chat, self.store.translations)
        bench = Workbench(self.store, translator, load, self.safeguards.crafts.craft)
        preparation = Preparation(bench.tools, self.safeguards.prompts)
        parts = (self.store, self.recipes, self.backends, self.blobs, load, self.hub)
        return Runner(*parts, run_rules, meters, tracer, preparation)

    def _notifier(self) -> Notifier:
        notify_rules = rules.of_callbacks(self.settings)
        formats = Formats(lambda: self.dialects, lambda: self.services)
        leads, seen = self.leadership.leads, self.metering
        told = {"meters": seen.meters, "tracer": seen.tracer}
        return Notifier(self.store, formats, self.guard, notify_rules, leads=leads, **told)

    def _messenger(self) -> Messenger:
        settings = self.settings
        render = parts.late_renderer(rules.of_answers(settings).signer, rules.address(settings))
        leads, seen = self.leadership.leads, self.metering
        told = {"meters": seen.meters, "tracer": seen.tracer}
        return Messenger(self.store, self.guard, rules.of_messages(settings), render, leads=leads, **told)

    def _services(self) -> Services:
        settings = self.settings
        access, users = entrance(settings, self.store)
        shelf = partial(OwnersShelf, self.registry, self.inputs)
        defaults = rules.of_submits(settings)
        gate = self.safeguards.prompts
        submitter = parts.submitter(settings, defaults, gate, self.store, shelf, self.recipes, self.backends)
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
            library=Library(self.store, submitter, self.inputs, self.blobs, rules.of_library(settings)),
            throttle=parts.throttle(settings, self.store),
            credits=Credits(self.store.ledger, self.store.accounts, submitter.prices),
            views=ViewLoader(self.store),
            webhooks=Webhooks(self.store, self.guard, rules.of_webhooks(settings), self.messenger.rouse),
            guard=self.guard,
            inputs=self.inputs,
            recipes=self.recipes,
            backends=self.backends,
            offers=self.offers.all,
            prompt_chars=settings.limit.prompt_chars,
            wait_s=settings.limit.wait_s,
            wire=rules.of_answers(settings),
            options={"fal": settings.fal_api, "characters": settings.characters},
            secret=partial(parts.secret, settings),
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
    from imagemill.web.app import create_app

    settings = mill.settings
    return create_app(
        mill.services,
        [dialect.router(mill.services) for dialect in mill.dialects],
        [permit for dialect in mill.dialects for permit in dialect.permits],
        edge=parts.edge_rules(settings),
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
