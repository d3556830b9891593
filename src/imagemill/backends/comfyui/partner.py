"""Partner nodes: node classes that have a paid service make the picture, by ComfyUI's API.

Each prompt with such nodes costs money: it needs a key and a known price, and is recorded before it is sent.
The key goes with the prompt to the node; it is never stored here, and newer servers keep it out of their
queue and history.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from imagemill.backends.base import RenderRequest
from imagemill.backends.comfyui.settings import ComfySettings
from imagemill.backends.paid_calls import MILLIONTHS, Budget, BudgetExceeded, PaidCalls, Reservation
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec, RenderSpec
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.json_access import mapping

PROVIDER = "comfy.org"
"""The name of the provider in the record of paid calls."""
KEY_FIELD = "api_key_comfy_org"
"""The field of a prompt's ``extra_data`` that has the key."""
_RUNS_PAID = 2
"""Times that the nodes of one job may be paid for: a failed render may be repeated once."""
_LONGEST_PATH = 80
_HIDDEN = "[key removed]"


class PartnerNodes:
    """The use of partner nodes within the key, prices and budget of the settings."""

    def __init__(self, settings: ComfySettings, calls: PaidCalls | None) -> None:
        self._key = settings.api_key.get_secret_value() if settings.api_key is not None else ""
        self._prices = settings.partner_prices
        self._budget = settings.partner_budget
        self._calls = calls

    def refusal(self, classes: Mapping[str, int]) -> str | None:
        """Return why these partner nodes (class -> number) cannot be used, and the setting that helps."""
        if not classes:
            return None
        names = ", ".join(sorted(classes))
        if not self._key or self._calls is None:
            return (
                f"{names} is a partner node of ComfyUI, which a paid service runs: set "
                "IMAGEMILL_COMFYUI__API_KEY to a key of its account"
            )
        if unpriced := sorted(name for name in classes if self._price(name) is None):
            return (
                f"the price of {', '.join(unpriced)} is not known: add it to "
                'IMAGEMILL_COMFYUI__PARTNER_PRICES, as in {"' + unpriced[0] + '": 0.04}'
            )
        cost = self.cost(classes) or 0
        if self._budget is not None and cost > round(self._budget * MILLIONTHS):
            return (
                f"{names} costs {cost / MILLIONTHS:.4f} dollars, above the {self._budget:g} of "
                "IMAGEMILL_COMFYUI__PARTNER_BUDGET"
            )
        return None

    def cost(self, classes: Mapping[str, int]) -> int | None:
        """Return the cost of these nodes in millionths of a dollar; None if a price is not known."""
        total = 0.0
        for name, number in classes.items():
            price = self._price(name)
            if price is None:
                return None
            total += price * number
        return round(total * MILLIONTHS)

    def _price(self, name: str) -> float | None:
        return self._prices.get(name, self._prices.get("*"))

    def reserve(self, request: RenderRequest, classes: Mapping[str, int]) -> str:
        """Record that a prompt with these nodes is about to be sent; return the call's id.

        Raises `BackendError` without a permission, key or price, and beyond the budget.
        """
        if not request.partner:
            names = ", ".join(sorted(classes))
            raise BackendError(
                FailureCode.BACKEND_REJECTED,
                f"{names} is a partner node, which costs money: submit the job with a key that has the scope "
                "'partner'",
            )
        if (refusal := self.refusal(classes)) is not None or self._calls is None:
            raise BackendError(FailureCode.BACKEND_REJECTED, refusal or "paid calls are not recorded here")
        cost = self.cost(classes) or 0
        per_day = None if self._budget is None else round(self._budget * MILLIONTHS)
        budget = Budget(per_job=_RUNS_PAID * cost, per_day=per_day)
        path = ",".join(sorted(classes))[:_LONGEST_PATH]
        try:
            return self._calls.reserve(
                Reservation(PROVIDER, request.job_id, request.attempt, path, cost, budget)
            )
        except BudgetExceeded as error:
            if error.after_s is None:
                raise BackendError(FailureCode.BACKEND_REJECTED, str(error)) from error
            raise BackendError(
                FailureCode.BACKEND_UNAVAILABLE, str(error), after_s=error.after_s, counts=False
            ) from error

    def sent(self, call_id: str, reference: str) -> None:
        if self._calls is not None:
            self._calls.sent(call_id, reference)

    def ended(self, call_id: str, outcome: str, *, free: bool = False) -> None:
        if self._calls is not None and call_id:
            self._calls.ended(call_id, outcome, free=free)

    def open_call(self, request: RenderRequest) -> str:
        """Return the id of the job's call that has not ended; empty if there is none."""
        call = self._calls.open_call(PROVIDER, request.job_id) if self._calls is not None else None
        return call.id if call is not None and call.request_id == request.reference else ""

    def secrets(self) -> dict[str, str]:
        """The fields of ``extra_data`` that let a node use the account."""
        return {KEY_FIELD: self._key}

    def without_key(self, error: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the data of an `execution_error` without the key, which a node may have put into it."""
        text = error.get("exception_message")
        if not self._key or not isinstance(text, str) or self._key not in text:
            return error
        return {**error, "exception_message": text.replace(self._key, _HIDDEN)}


def partner_nodes_of(graph: Mapping[str, Any], catalogues: Iterable[Catalogue]) -> Mapping[str, int]:
    """Return the classes of a graph that are partner nodes on some server, with the number of their nodes."""
    known = [each.partner_classes for each in catalogues]
    classes = [str(mapping(node).get("class_type")) for node in graph.values()]
    partners = [name for name in classes if any(name in names for names in known)]
    return Counter(partners) if partners else {}


def partner_nodes(work: RenderSpec, catalogues: Iterable[Catalogue]) -> Mapping[str, int]:
    """See `partner_nodes_of`; the graphs that Imagemill builds itself have none."""
    return partner_nodes_of(work.graph, catalogues) if isinstance(work, GraphSpec) else {}
