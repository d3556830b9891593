"""The book of paid calls, with what Prometheus is told of it; see `imagemill.backends.paying`."""

from imagemill.backends.paying import MILLIONTHS, OverBudget, PaidCall, Reservation
from imagemill.domain.clock import SECOND, now_us, uuid7
from imagemill.metrics.meters import Meters
from imagemill.store.providers import End, ProviderCalls, Reserve


class Providers:
    """The `PaidCalls` of a process."""

    def __init__(self, store: ProviderCalls, meters: Meters) -> None:
        self._store = store
        self._meters = meters

    def open_call(self, provider: str, job_id: str) -> PaidCall | None:
        return self._store.open_call(provider, job_id)

    def reserve(self, wanted: Reservation) -> str:
        call_id = uuid7()
        try:
            self._store.reserve(Reserve(call_id, wanted, now_us()))
        except OverBudget:
            self._meters.held_back(wanted.provider)
            raise
        return call_id

    def sent(self, call_id: str, request_id: str) -> None:
        self._store.sent(call_id, request_id)

    def ended(self, call_id: str, outcome: str, *, free: bool = False) -> None:
        now = now_us()
        ended = self._store.end(End(call_id, outcome, free, now))
        if ended is not None:
            provider, cost, sent_at = ended
            self._meters.called(provider, outcome, (now - sent_at) / SECOND, cost / MILLIONTHS)
