"""fal.ai as a backend with one node.

Requests cost money: each is recorded before it is sent, and a recorded one is searched before another is
sent.
"""

import importlib.util
import logging
import threading
import time
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagemill.backends.base import Node, RenderCanceled, RenderControl, RenderRequest, RenderResult
from imagemill.backends.fal import mapping
from imagemill.backends.fal.errors import FalError, FalRequestFailed, FalStatusError, FalUnreachable, failure
from imagemill.backends.fal.follow import FalFollower
from imagemill.backends.fal.gateway import GatewayCheck
from imagemill.backends.fal.mapping import FalRequest, reference_of, request_of
from imagemill.backends.fal.settings import FalSettings
from imagemill.backends.paid_calls import (
    CANCELED,
    MILLIONTHS,
    REFUSED,
    SUCCEEDED,
    UNKNOWN,
    Budget,
    BudgetExceeded,
    PaidCall,
    PaidCalls,
    Reservation,
)
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import BackendError, StorageError
from imagemill.domain.events import Stage
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import ImageSpec, RenderSpec
from imagemill.domain.scheduling import REMOTE
from imagemill.graphs.errors import KIND_WORDS

if TYPE_CHECKING:
    from imagemill.backends.fal.client import FalClient, SyncRequestHandle

log = logging.getLogger(__name__)

NAME = "fal"
"""Name of the backend, of its node (the same for all workers), and of the provider in the record of paid
calls."""
_WRITE_TRIES = 6
"""Attempts to record the id of a paid request while the database is unavailable: about ten seconds."""
_COMPANIONS = f"{KIND_WORDS['companions']} "
"""Prefix of the requirement of text encoders and a VAE."""
_NOT_INSTALLED = "is not installed; fal needs: pip install 'imagemill[fal]'"


class FalBackend:
    def __init__(self, settings: FalSettings, calls: PaidCalls) -> None:
        self._settings = settings
        self._calls = calls
        self._lock = threading.Lock()
        self._client: FalClient | None = None
        self._handles: dict[str, SyncRequestHandle] = {}
        """The handles of requests sent by this process, with the addresses that fal gave for them."""
        self._gateway = GatewayCheck(settings.host, settings.check_s)
        self._paused_until = 0.0
        self._pause_reason = ""
        missing = importlib.util.find_spec("fal_client") is None
        self._missing = f"fal-client {_NOT_INSTALLED}" if missing else ""

    @property
    def name(self) -> str:
        return NAME

    @property
    def survives_worker(self) -> bool:
        return True

    @property
    def stage_names(self) -> tuple[Stage, Stage]:
        return Stage.SENT_TO_BACKEND, Stage.BACKEND_RESULT

    @property
    def renders_in_process(self) -> bool:
        return False

    def nodes(self) -> Sequence[Node]:
        problem = self._missing or self._paused_because() or self._gateway.problem()
        return [
            Node(
                NAME,
                NAME,
                frozenset({"gpu", REMOTE}),
                self._settings.slots,
                available=_SupportedModels(self._settings),
                load_s=0.0,
                healthy=not problem,
                problem=problem,
                remote=True,
                local_first_s=self._settings.spill_after_s,
            )
        ]

    def unsupported_reason(self, work: RenderSpec) -> str | None:
        return self._missing or mapping.unsupported_reason(self._settings, work)

    def bill(self, work: RenderSpec) -> float | None:
        """The dollars that fal would bill for a render; None when the price is not known."""
        if not isinstance(work, ImageSpec) or (path := mapping.path_for(self._settings, work)) is None:
            return None
        cost = mapping.cost_of(self._settings, path, work)
        return None if cost is None else cost / MILLIONTHS

    def requirements(self, work: RenderSpec) -> tuple[str, ...]:
        """Always empty: renders that need more than their checkpoint are unsupported."""
        del work
        return ()

    def validate_hints(self, properties: Mapping[str, Any]) -> str | None:
        del properties
        return None

    def send(self, request: RenderRequest) -> str:
        """Send a request, or return the job's paid request, whichever process sent it."""
        if request.node != NAME:
            raise BackendError(FailureCode.NODE_LOST, f"fal has no node {request.node}")
        if self._missing:
            raise BackendError(FailureCode.BACKEND_UNAVAILABLE, self._missing)
        if request.leaves_nothing:
            message = "fal keeps pictures for a while, and the job must leave nothing: submit it as private"
            raise BackendError(FailureCode.BACKEND_REJECTED, message)
        if request_of(request.reference) is not None:
            return request.reference
        call = self._calls.open_call(NAME, request.job_id)
        if call is not None and call.request_id is not None:
            log.info("fal already has a request of the job: attached to it")
            return reference_of(call.path, call.request_id)
        if call is not None:
            self._give_up(call)
        fal_request = self._map_request(request)
        call_id = self._reserve(request, fal_request)
        return self._send(fal_request, call_id)

    def follow(self, request: RenderRequest, reference: str, control: RenderControl) -> RenderResult:
        path, request_id = request_of(reference) or ("", "")
        client = self._connect()
        handle = self._handles.get(reference) or client.get_handle(path, request_id)
        call = self._calls.open_call(NAME, request.job_id)
        if call is not None and call.request_id != request_id:
            call = None
        try:
            outputs, facts = FalFollower(client, handle, request, control, self._settings).run()
        except FalError as error:
            # The state of the request is unknown: the next attempt collects it.
            raise self._failure(error) from error
        except FalRequestFailed as error:
            self._end(call, reference, error.outcome)
            raise
        except RenderCanceled:
            if not control.detached:
                self._end(call, reference, CANCELED)
            raise
        self._end(call, reference, SUCCEEDED)
        assert isinstance(request.work, ImageSpec)  # noqa: S101 - others are refused
        cost = mapping.cost_of(self._settings, path, request.work)
        dollars = None if cost is None else cost / MILLIONTHS
        return RenderResult(
            outputs,
            {"provider": NAME, "requestId": request_id, "path": path, "expectedCost": dollars, **facts},
        )

    def _end(self, call: PaidCall | None, reference: str, outcome: str) -> None:
        self._handles.pop(reference, None)
        if call is not None:
            self._calls.ended(call.id, outcome)

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _map_request(self, request: RenderRequest) -> FalRequest:
        if (refusal := mapping.unsupported_reason(self._settings, request.work)) is not None:
            code = (
                FailureCode.BACKEND_REJECTED
                if isinstance(request.work, ImageSpec)
                else FailureCode.INVALID_GRAPH
            )
            raise BackendError(code, refusal)
        assert isinstance(request.work, ImageSpec)  # noqa: S101 - others are refused
        return mapping.fal_request(self._settings, request.work, request.inputs)

    def _give_up(self, call: PaidCall) -> None:
        """End a call without a recorded answer.

        Its sender may still record it. After the longest time that a call takes, nobody will, and fal can
        only be asked for it by its id.
        """
        rest_s = self._settings.request_s + _WRITE_TRIES - (now_us() - call.sent_at) / SECOND
        if rest_s > 0:
            raise BackendError(
                FailureCode.BACKEND_UNAVAILABLE,
                "another worker may be sending this job to fal",
                after_s=rest_s,
                counts=False,
            )
        log.warning("a request to fal may be lost, as its id was not recorded: another one is sent")
        self._calls.ended(call.id, UNKNOWN)

    def _reserve(self, request: RenderRequest, fal_request: FalRequest) -> str:
        settings = self._settings
        budget = Budget(
            settings.per_minute, _millionths(settings.cost_per_job), _millionths(settings.cost_per_day)
        )
        wanted = Reservation(
            NAME, request.job_id, request.attempt, fal_request.path, fal_request.cost or 0, budget
        )
        try:
            return self._calls.reserve(wanted)
        except BudgetExceeded as error:
            if error.after_s is None:
                raise BackendError(FailureCode.BACKEND_REJECTED, str(error)) from error
            self._pause(error.after_s, str(error))
            raise self._retry_later(str(error), error.after_s) from error

    def _send(self, fal_request: FalRequest, call_id: str) -> str:
        try:
            handle = self._connect().submit_once(
                fal_request.path, fal_request.arguments, self._settings.priority
            )
        except FalError as error:
            # After an error answer or a refused connection it was certainly not accepted.
            accepted = isinstance(error, FalUnreachable) and error.maybe_received
            self._calls.ended(call_id, UNKNOWN if accepted else REFUSED, free=not accepted)
            if isinstance(error, FalUnreachable) and not error.maybe_received:
                self._pause(self._settings.refused_s, f"fal {error}")
            raise self._failure(error) from error
        self._record_id(call_id, handle.request_id)
        reference = reference_of(fal_request.path, handle.request_id)
        self._handles[reference] = handle
        return reference

    def _record_id(self, call_id: str, request_id: str) -> None:
        for number in range(_WRITE_TRIES):
            try:
                self._calls.sent(call_id, request_id)
            except StorageError as error:
                if number + 1 == _WRITE_TRIES:
                    log.exception("the paid request %s of fal is recorded in this log only", request_id)
                    raise
                log.warning("the id of a paid request cannot be recorded: %s", error)
                time.sleep(min(0.1 * 2**number, 5.0))
            else:
                return

    def _failure(self, error: FalError) -> BackendError:
        """The failure for an error of fal. Errors that affect all jobs pause the node and are not the
        job's fault."""
        if isinstance(error, FalStatusError) and error.status in (401, 402, 403):
            shut_s = self._settings.shut_s
            self._pause(shut_s, f"fal {error}: check IMAGEMILL_FAL__KEY and the balance of its account")
            return self._retry_later(f"fal {error}", shut_s)
        if isinstance(error, FalStatusError) and error.after_s:
            self._pause(error.after_s, f"fal {error}")
        return failure(error)

    def _retry_later(self, message: str, after_s: float) -> BackendError:
        return BackendError(FailureCode.BACKEND_UNAVAILABLE, message, after_s=after_s, counts=False)

    def _pause(self, seconds: float, why: str) -> None:
        """Pause the node: no slot of this process takes a job for it meanwhile."""
        with self._lock:
            self._paused_until, self._pause_reason = time.monotonic() + seconds, why

    def _paused_because(self) -> str:
        """The reason of the pause; empty if there is none."""
        with self._lock:
            return self._pause_reason if time.monotonic() < self._paused_until else ""

    def _connect(self) -> "FalClient":
        with self._lock:
            if self._client is None:
                from imagemill.backends.fal.client import FalClient

                assert self._settings.key is not None  # noqa: S101 - there is no backend without one
                self._client = FalClient(
                    self._settings.key.get_secret_value(),
                    host=self._settings.host,
                    ca_file=self._settings.ca_file,
                    timeout_s=self._settings.request_s,
                )
                self._client.prepare()
            return self._client


def _millionths(dollars: float | None) -> int | None:
    return None if dollars is None else round(dollars * MILLIONTHS)


class _SupportedModels(Container[str]):
    """The checkpoints (AIRs in lower case) that fal has a path for, and the requirement of text encoders
    and a VAE.

    It does not contain LoRAs and other requirements, which jobs submitted before fal was configured may
    have.
    """

    def __init__(self, settings: FalSettings) -> None:
        self._settings = settings

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        return key.startswith(_COMPANIONS) or mapping.model_of(self._settings, key) is not None
