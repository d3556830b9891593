"""A store, its messenger, and owners with endpoints."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import pytest

from imagemill.accounts.store import Owner
from imagemill.api.webhooks import renderer
from imagemill.bootstrap.stores import Stores
from imagemill.domain.access import Role
from imagemill.domain.clock import now_us
from imagemill.domain.jobs import Job
from imagemill.domain.signing import ENDS, UrlSigner
from imagemill.net.url_guard import Resolver, UrlGuard, look_up
from imagemill.observability.tracing import Tracer
from imagemill.settings import WebhookSettings
from imagemill.webhooks.endpoints import EndpointService
from imagemill.webhooks.messages import WebhookDispatcher
from imagemill.webhooks.store import DeliveryAttempt, Endpoint, Message, MessagePage
from tests.service.build import add, mill, wait_until
from tests.tuning import tuned

LOCAL = [ip_network("127.0.0.0/8")]
ANN = "ann"


@dataclass
class Post:
    """The whole of webhooks around one store."""

    store: Stores
    webhooks: EndpointService
    dispatcher: WebhookDispatcher

    def endpoint(self, url: str, owner: str = ANN, types: Sequence[str] = ENDS) -> Endpoint:
        return self.webhooks.add(owner, url, "", types)

    def run(self, count: int = 1, owner: str = ANN) -> list[Job]:
        """Jobs that are submitted and run."""
        jobs = [add(self.store, owner=owner) for _ in range(count)]
        it = mill(self.store)
        for _ in jobs:
            it.run()
        return jobs

    def again(self, endpoint: Endpoint) -> Endpoint:
        return self.webhooks.get(endpoint.owner, endpoint.id)

    def messages(self, endpoint: Endpoint) -> list[tuple[Message, DeliveryAttempt | None]]:
        return list(self.webhooks.messages(endpoint.owner, MessagePage(endpoint.id, limit=500)))

    def attempts(self, endpoint: Endpoint, message: Message) -> Sequence[DeliveryAttempt]:
        return self.webhooks.message(endpoint.owner, endpoint.id, message.id)[1]

    def settle(self, *endpoints: Endpoint, seconds: float = 10) -> None:
        """Until nothing more is to be delivered."""
        wait_until(
            lambda: not any(message.due_at for each in endpoints for message, _ in self.messages(each)),
            seconds,
        )


@pytest.fixture
def make_post(store: Stores) -> Iterator[Callable[..., Post]]:
    running: list[WebhookDispatcher] = []

    def make(
        *,
        resolver: Resolver = look_up,
        allow: bool = True,
        starts: bool = True,
        tracer: Tracer | None = None,
        **changes: Any,
    ) -> Post:
        values: dict[str, Any] = {
            "timeout_s": 0.5, "tries": 4, "retry_base_s": 0.02, "retry_cap_s": 0.05, "pause_after_s": 3600.0,
            "retention_days": 1 / 24, "endpoints": 20, "rotation_s": 3600.0, **changes,
        }  # fmt: skip
        poll_s = values.pop("poll_s", 0.05)
        settings = tuned(WebhookSettings, validate=False, **values)
        guard = UrlGuard(LOCAL if allow else [], resolver=resolver)
        render = renderer(UrlSigner(b"k" * 32, life_s=60), "http://mill.example", lambda dialect: None)
        dispatcher = WebhookDispatcher(
            store.webhooks, store.jobs, store.accounts, guard, settings, render, poll_s=poll_s, tracer=tracer
        )
        webhooks = EndpointService(store.webhooks, guard, settings, dispatcher.reset_backoff)
        store.database.listen(lambda committed: dispatcher.wake() if committed.has_deliveries else None)
        if starts:
            dispatcher.start()
        running.append(dispatcher)
        return Post(store, webhooks, dispatcher)

    for name in (ANN, "bob"):
        store.accounts.ensure_owner(Owner(name, Role.USER, now_us()))
    yield make
    for dispatcher in running:
        dispatcher.close()


@pytest.fixture
def post(make_post: Callable[..., Post]) -> Post:
    return make_post()
