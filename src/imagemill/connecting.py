"""Between processes: which dispatcher and which fan-out the settings ask for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagemill.config import Settings
from imagemill.dispatch.offers import Offers
from imagemill.dispatch.queues import BROKERED, route
from imagemill.domain.errors import ImagemillError

if TYPE_CHECKING:
    from imagemill.dispatch.fleet import FleetDispatcher
    from imagemill.dispatch.floor import RunAll
    from imagemill.dispatch.inline import InlineDispatcher
    from imagemill.fanout.base import Fanout


class MissingExtra(ImagemillError):
    code = "missing_extra"


@dataclass(frozen=True, slots=True)
class Post:
    """What a process does with wake-ups. ``inline``: its slots hear of them at once, too."""

    name: str
    inline: "InlineDispatcher | None"
    works: bool
    queues: frozenset[str] | None
    hosted: bool
    slots: int | None


def fanout(settings: Settings, sender: str, *, alone: bool, notices: bool) -> "Fanout | None":
    """None where nobody else is expected, or nothing carries news: then the database is polled. ``notices``:
    whether anybody in this process waits for events of jobs."""
    if settings.news_url:
        try:
            from imagemill.fanout.redis import RedisFanout
        except ModuleNotFoundError as error:
            raise _missing(error) from error
        return RedisFanout(settings.news_url, sender, notices=notices)
    if settings.listening_url and not alone:
        from imagemill.fanout.postgres import PostgresFanout

        scheme, _, rest = settings.listening_url.partition("://")
        return PostgresFanout(f"{scheme.partition('+')[0]}://{rest}", sender)
    return None


def fleet(
    settings: Settings,
    post: Post,
    run_all: "RunAll",
    offers: Offers,
    waits: Callable[[], set[str]],
    call: Callable[[str], None],
) -> "FleetDispatcher | None":
    """None without a broker. ``waits``: queues with claimable jobs; ``call``: ask all other workers to look
    whether they can do something in this queue."""
    if settings.broker_url is None:
        return None
    try:
        from imagemill.dispatch.brokered import CeleryBroker, make_app
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    from imagemill.dispatch.fleet import FleetDispatcher
    from imagemill.dispatch.floor import Floor
    from imagemill.dispatch.tokens import Tokens

    tokens = Tokens(CeleryBroker(make_app(settings)), waits)
    if not post.works or post.inline is not None:
        return FleetDispatcher(tokens, waits, call, inline=post.inline)
    celery = settings.celery
    floor = Floor(run_all, offers, waits, token_s=celery.token_s, poll_s=celery.poll_s, most=post.slots)
    dispatcher = FleetDispatcher(tokens, waits, call, floor=floor)
    if not post.hosted:
        from imagemill.dispatch.consumer import CeleryConsumer

        app = make_app(settings, dispatcher.work)
        dispatcher.take_from(CeleryConsumer(app, consumed(post.queues), slots=floor.slots, name=post.name))
    return dispatcher


def consumed(chosen: frozenset[str] | None) -> frozenset[str]:
    """The broker's queues to take wake-ups from, for a worker that serves the ``chosen`` ones; None: all."""
    if chosen is None:
        return frozenset(BROKERED)
    return frozenset(map(route, chosen))


def _missing(error: ModuleNotFoundError) -> MissingExtra:
    return MissingExtra(f"{error.name} is not installed; a broker needs: pip install 'imagemill[celery]'")
