"""``/api/v1/prices`` and ``/api/v1/credits``."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.credits.ledger import Balance, LedgerEntry, StatementPage
from imagemill.credits.service import CreditService, LedgerRequest
from imagemill.domain.access import Scope
from imagemill.domain.clock import from_datetime, to_datetime
from imagemill.domain.credits import CREDIT, MAX_AMOUNT, amount_of, credits_of
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import RenderSize
from imagemill.domain.jobs import Draft
from imagemill.web import openapi
from imagemill.web.auth import audit_change, caller
from imagemill.web.http import Real, idempotency_key, json_body, json_response, number
from imagemill.web.policies import PathPolicy
from imagemill.web.problems import field_errors, suggestion

_MOST = MAX_AMOUNT / CREDIT
_Owner = Annotated[str, Field(min_length=1, max_length=64, description="Account, or account:user.")]
_Note = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class GrantBody(_Body):
    owner: _Owner
    amount: Real = Field(
        ge=-_MOST, le=_MOST, allow_inf_nan=False, description="Credits; less than 0 takes them away."
    )
    note: _Note = ""


class TransferBody(_Body):
    sender: _Owner = Field(alias="from")
    to: _Owner
    amount: Real = Field(gt=0, le=_MOST, allow_inf_nan=False, description="Credits.")
    note: _Note = ""


class AccountBody(_Body):
    exempt: bool = Field(description="Whether the owner's jobs cost nothing.")
    note: _Note = ""


def balance_body(balance: Balance, *, is_charged: bool) -> dict[str, Any]:
    return {
        "owner": balance.owner,
        "available": credits_of(balance.available),
        "held": credits_of(balance.held),
        "exempt": balance.is_exempt,
        "charged": is_charged,
    }


def entry_body(entry: LedgerEntry) -> dict[str, Any]:
    return {
        "owner": entry.owner,
        "number": entry.number,
        "at": to_datetime(entry.at).isoformat(),
        "kind": entry.kind.value,
        "available": credits_of(entry.available),
        "held": credits_of(entry.held),
        "balance": credits_of(entry.balance),
        "job": entry.job_id,
        "actor": entry.actor,
        "note": entry.note,
    }


_Model = TypeVar("_Model", bound=BaseModel)
_LAST = 2**53
"""The largest number of an entry that every client of JSON can send back."""
_LONGEST_SIDE = 65_536
_OWNER = (openapi.TEXT, "Another one than who asks: for administrators, and for accounts of their end users")
_PRICE = openapi.query(
    recipe=(openapi.TEXT, "Also say what pictures of this recipe cost"),
    width=(openapi.whole(1, _LONGEST_SIDE, 512), "Pixels"),
    height=(openapi.whole(1, _LONGEST_SIDE, 512), "Pixels"),
    steps=(openapi.whole(0, 10_000, 20), "Sampling steps"),
    quantity=(openapi.whole(1, 10_000, 1), "Pictures"),
    backend=(openapi.TEXT, "The only backend that may make them"),
)
_STATEMENT: dict[str, Any] = openapi.query(
    owner=_OWNER,
    format=({"type": "string", "enum": ["json", "csv"], "default": "json"}, "A page of JSON, or all as CSV"),
    limit=(openapi.whole(1, 500, 100), "How many, as JSON"),
    cursor=(openapi.whole(1, _LAST, _LAST), "`next` of the last answer"),
    since=(openapi.INSTANT, "Entries from then on"),
    until=(openapi.INSTANT, "Entries before then"),
) | openapi.answered(200, "A page, or all", openapi.JSON, "text/csv")
_KEY = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "The same key again changes nothing and is answered alike",
            "schema": {"type": "string", "minLength": 1, "maxLength": 200},
        }
    ]
}


class CreditRoutes:
    def __init__(self, services: Services) -> None:
        self._credits = services.credits

    def router(self) -> APIRouter:
        routes = APIRouter(prefix="/api/v1", tags=["credits"])
        owner = openapi.query(owner=_OWNER)
        for method, path, handler, summary, status, extra in (
            ("GET", "/prices", self.prices, "What jobs cost", 200, _PRICE),
            ("GET", "/credits", self.balance, "What is available and what is held", 200, owner),
            ("GET", "/credits/statement", self.statement, "What was paid, newest first", 200, _STATEMENT),
            ("POST", "/credits/grants", self.grant, "Give credits", 201, openapi.body(GrantBody) | _KEY),
            (
                "POST",
                "/credits/transfers",
                self.transfer,
                "Move credits",
                201,
                openapi.body(TransferBody) | _KEY,
            ),
            (
                "PUT",
                "/credits/accounts/{owner}",
                self.exempt,
                "Whether an owner pays",
                200,
                openapi.body(AccountBody) | _KEY,
            ),
        ):
            routes.add_api_route(
                path,
                handler,
                methods=[method],
                summary=summary,
                status_code=status,
                response_class=Response,
                openapi_extra=extra,
            )
        return routes

    async def prices(self, request: Request) -> Response:
        prices = self._credits.prices
        body = prices.table()
        recipe = request.query_params.get("recipe")
        if recipe:
            if not prices.knows(recipe):
                raise InvalidInput.at("recipe", f"is {recipe[:64]!r}{suggestion(recipe, body['recipes'])}")
            backend = request.query_params.get("backend")
            size = RenderSize(
                number(request, "width", 512, 1, _LONGEST_SIDE)
                * number(request, "height", 512, 1, _LONGEST_SIDE)
                / 1e6,
                number(request, "steps", 20, 0, 10_000),
                number(request, "quantity", 1, 1, 10_000),
            )
            body["estimate"] = prices.of(recipe, size, [backend] if backend else [])
        return json_response(body)

    async def balance(self, request: Request) -> Response:
        owner = request.query_params.get("owner") or None
        found = await asyncio.to_thread(self._credits.balance, caller(request), owner)
        return json_response(balance_body(found, is_charged=self._credits.prices.is_charged))

    async def statement(self, request: Request) -> Response:
        form = request.query_params.get("format") or "json"
        if form not in ("json", "csv"):
            raise InvalidInput.at("format", f"is {form[:40]!r}; write json or csv")
        limit = number(request, "limit", 100, 1, 500)
        before = number(request, "cursor", _LAST, 1, _LAST)
        stretch = StatementPage(
            request.query_params.get("owner") or caller(request).owner,
            before if before < _LAST else None,
            _instant(request, "since"),
            _instant(request, "until"),
            limit + 1,
        )
        if form == "csv":
            return _file(await asyncio.to_thread(self._credits.csv, caller(request), stretch))
        found = await asyncio.to_thread(self._credits.statement, caller(request), stretch)
        more = found[limit - 1].number if len(found) > limit else None
        return json_response({"items": [entry_body(entry) for entry in found[:limit]], "next": more})

    async def grant(self, request: Request) -> Response:
        body = await _read(request, GrantBody)
        order = LedgerRequest(_key(request), _thousandths(body.amount), body.note)
        return await self._posted(self._credits.grant, caller(request), body.owner, order)

    async def transfer(self, request: Request) -> Response:
        body = await _read(request, TransferBody)
        order = LedgerRequest(_key(request), _thousandths(body.amount), body.note)
        return await self._posted(self._credits.transfer, caller(request), body.sender, body.to, order)

    async def exempt(self, request: Request, owner: str) -> Response:
        body = await _read(request, AccountBody)
        order = LedgerRequest(_key(request), note=body.note)
        found = self._credits.exempt
        audit_change(request, f"exempt={str(body.exempt).lower()}")
        return await self._posted(found, caller(request), owner, body.exempt, order, status=200)

    async def _posted(
        self, post: Callable[..., tuple[LedgerEntry, ...]], *args: Any, status: int = 201
    ) -> Response:
        entries = await asyncio.to_thread(post, *args)
        return json_response({"entries": [entry_body(entry) for entry in entries]}, status)


def _thousandths(credits_: float) -> int:
    amount = amount_of(credits_)
    if not amount or abs(amount - credits_ * CREDIT) > 1e-6 * max(1.0, abs(amount)):
        raise InvalidInput.at("amount", f"is {credits_}; write credits with at most three decimals, not 0")
    return amount


def _key(request: Request) -> str:
    key = idempotency_key(request)
    if key is None:
        raise InvalidInput.at(
            "Idempotency-Key", "is required: the same key again, after an answer was lost, changes nothing"
        )
    return key


def _instant(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError) as error:
        raise InvalidInput.at(name, f"is {text[:40]!r}; write a date such as 2026-01-31T00:00:00Z") from error


def _file(parts: Iterator[str]) -> Response:
    headers = {"Content-Disposition": 'attachment; filename="statement.csv"'}
    return StreamingResponse(parts, media_type="text/csv; charset=utf-8", headers=headers)


async def _read(request: Request, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(await json_body(request))
    except ValidationError as error:
        raise InvalidInput(field_errors(error, model)) from error


DIALECT = ApiModule(
    name="credits",
    router=lambda services, _: CreditRoutes(services).router(),
    callback=no_callback,
    policies=(
        PathPolicy("/api/v1/prices", Scope.JOBS_READ),
        PathPolicy("/api/v1/credits", Scope.ACCOUNT_READ),
        PathPolicy("/api/v1/credits/statement", Scope.ACCOUNT_READ),
        PathPolicy("/api/v1/credits/grants", Scope.ADMIN, Scope.ADMIN),
        PathPolicy("/api/v1/credits/transfers", Scope.ACCOUNT_WRITE, Scope.ACCOUNT_WRITE),
        PathPolicy("/api/v1/credits/accounts/", Scope.ADMIN, Scope.ADMIN),
    ),
)


async def estimate(request: Request, credits_: CreditService, drafts: Sequence[Draft]) -> dict[str, Any]:
    """What an answer to ``whatif`` says; nothing is stored."""
    is_charged = credits_.prices.is_charged
    needed = sum(amount_of(draft.cost) for draft in drafts)
    body: dict[str, Any] = {
        "cost": credits_of(needed) if is_charged else round(sum(draft.cost for draft in drafts), 4),
        "jobs": [{"recipe": draft.recipe, "cost": draft.cost} for draft in drafts],
        "charged": is_charged,
    }
    if not is_charged:
        return body
    balance = await asyncio.to_thread(credits_.balance, caller(request))
    affordable = balance.is_exempt or needed <= balance.available
    return {**body, "available": credits_of(balance.available), "affordable": affordable}
