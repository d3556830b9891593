"""``/api/v1/prices`` and ``/api/v1/credits``: what jobs cost, balances, statements and transfers."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field

from imagemill.api.base import ApiModule, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.credits.ledger import Balance, EntryKind, LedgerEntry, StatementPage
from imagemill.credits.service import CreditService, LedgerRequest
from imagemill.domain.access import Scope
from imagemill.domain.clock import from_datetime, to_datetime
from imagemill.domain.credits import CREDIT, MAX_AMOUNT, amount_of, credits_of
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import RenderSize
from imagemill.domain.jobs import Draft
from imagemill.net import pools
from imagemill.web import openapi
from imagemill.web.auth import audit_change, caller
from imagemill.web.body_fields import Real, suggestion
from imagemill.web.http import idempotency_key, json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import ApiRoute, RequestModel, ResponseModel

_MOST = MAX_AMOUNT / CREDIT
_Owner = Annotated[str, Field(min_length=1, max_length=64, description="Account, or account:user.")]
_Note = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]
_BALANCE = {"owner": "local", "available": 120.5, "held": 0.0, "exempt": False, "charged": True}
_ENTRY = {
    "owner": "local",
    "number": 7,
    "at": "2026-01-31T12:00:00+00:00",
    "kind": "grant",
    "available": 100.0,
    "held": 0.0,
    "balance": 120.5,
    "job": None,
    "actor": "local",
    "note": "January",
}


class GrantBody(RequestModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"owner": "local", "amount": 100, "note": "January"}]}
    )

    owner: _Owner
    amount: Real = Field(
        ge=-_MOST, le=_MOST, allow_inf_nan=False, description="Credits; a number below 0 takes them away."
    )
    note: _Note = ""


class TransferBody(RequestModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"from": "local", "to": "local:ann", "amount": 5}]}
    )

    sender: _Owner = Field(alias="from")
    to: _Owner
    amount: Real = Field(gt=0, le=_MOST, allow_inf_nan=False, description="Credits.")
    note: _Note = ""


class AccountBody(RequestModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"exempt": True}]})

    exempt: bool = Field(description="The owner's jobs cost nothing.")
    note: _Note = ""


class Price(ResponseModel):
    """Credits of a picture: the sum of its parts, and at least the minimum."""

    base: float
    megapixel: float
    step: float
    megapixel_step: float = Field(description="Credits of a million pixels and a step.")
    minimum: float


class PriceList(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "charged": False,
                    "recipes": {
                        "textToImage": {
                            "base": 0.0,
                            "megapixel": 0.0,
                            "step": 0.0,
                            "megapixelStep": 0.1220703125,
                            "minimum": 0.0,
                        }
                    },
                    "backends": {},
                    "estimate": 0.64,
                }
            ]
        }
    )

    charged: bool = Field(description="Jobs are paid for on this server.")
    recipes: dict[str, Price]
    backends: dict[str, float] = Field(description="Factors of the price, by the backend that renders.")
    estimate: float | None = Field(None, description="Credits of what the query describes.")


class BalanceInfo(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_BALANCE]})

    owner: str
    available: float
    held: float = Field(description="Credits of jobs that have not finished.")
    exempt: bool
    charged: bool = Field(description="Jobs are paid for on this server.")


class EntryInfo(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_ENTRY]})

    owner: str
    number: int = Field(description="Number of the entry within its owner's ledger.")
    at: datetime
    kind: EntryKind
    available: float = Field(description="Change of what is available.")
    held: float = Field(description="Change of what is held.")
    balance: float = Field(description="What was available afterwards.")
    job: str | None
    actor: str | None
    note: str


class StatementBody(ResponseModel):
    items: list[EntryInfo]
    next: int | None = Field(description="The `cursor` of the next page; null on the last.")


class EntryList(ResponseModel):
    entries: list[EntryInfo]


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


_LAST = 2**53
"""The largest number of an entry that every client of JSON can send back."""
_LONGEST_SIDE = 65_536
_Pixels = Annotated[int, Query(ge=1, le=_LONGEST_SIDE, description="Pixels.")]
OfOwner = Annotated[
    str | None,
    Query(
        description="Another owner than who asks: for administrators, and for accounts of their end users."
    ),
]
router = APIRouter(prefix="/api/v1", tags=["credits"], route_class=ApiRoute)


@router.get("/prices", summary="Read what jobs cost", response_model=PriceList)
async def get_prices(
    services: ServicesDep,
    recipe: Annotated[str | None, Query(description="Estimate pictures of this recipe too.")] = None,
    width: _Pixels = 512,
    height: _Pixels = 512,
    steps: Annotated[int, Query(ge=0, le=10_000, description="Sampling steps.")] = 20,
    quantity: Annotated[int, Query(ge=1, le=10_000, description="Number of pictures.")] = 1,
    backend: Annotated[str | None, Query(description="The only backend that may make them.")] = None,
) -> Response:
    prices = services.credits.prices
    body = prices.table()
    if recipe is not None:
        if not prices.knows(recipe):
            raise InvalidInput.at("recipe", f"is {recipe[:64]!r}{suggestion(recipe, body['recipes'])}")
        size = RenderSize(width * height / 1e6, steps, quantity)
        body["estimate"] = prices.of(recipe, size, [backend] if backend else [])
    return json_response(body)


@router.get("/credits", summary="Read a balance", response_model=BalanceInfo)
async def get_balance(request: Request, services: ServicesDep, owner: OfOwner = None) -> Response:
    found = await pools.read(services.credits.balance, caller(request), owner)
    return json_response(balance_body(found, is_charged=services.credits.prices.is_charged))


@router.get(
    "/credits/statement",
    summary="List the entries of a ledger, newest first",
    response_model=StatementBody,
    responses={200: {"description": "A page of JSON, or everything as CSV.", "content": {"text/csv": {}}}},
)
async def get_statement(
    request: Request,
    services: ServicesDep,
    owner: OfOwner = None,
    format_: Annotated[
        Literal["json", "csv"], Query(alias="format", description="A page of JSON, or everything as CSV.")
    ] = "json",
    limit: Annotated[int, Query(ge=1, le=500, description="Most entries of a page of JSON.")] = 100,
    cursor: Annotated[int, Query(ge=1, le=_LAST, description="`next` of the last answer.")] = _LAST,
    since: Annotated[str | None, Query(description="Entries from then on; ISO 8601.")] = None,
    until: Annotated[str | None, Query(description="Entries before then; ISO 8601.")] = None,
) -> Response:
    page = StatementPage(
        owner or caller(request).owner,
        cursor if cursor < _LAST else None,
        _instant("since", since),
        _instant("until", until),
        limit + 1,
    )
    if format_ == "csv":
        return _file(await pools.read(services.credits.csv, caller(request), page))
    found = await pools.read(services.credits.statement, caller(request), page)
    more = found[limit - 1].number if len(found) > limit else None
    return json_response({"items": [entry_body(entry) for entry in found[:limit]], "next": more})


@router.post(
    "/credits/grants",
    summary="Give credits",
    status_code=201,
    response_model=EntryList,
    openapi_extra=openapi.REQUIRED_IDEMPOTENCY_KEY,
)
async def grant_credits(request: Request, services: ServicesDep, body: GrantBody) -> Response:
    order = LedgerRequest(_key(request), _thousandths(body.amount), body.note)
    return await _posted(services.credits.grant, caller(request), body.owner, order)


@router.post(
    "/credits/transfers",
    summary="Move credits",
    status_code=201,
    response_model=EntryList,
    openapi_extra=openapi.REQUIRED_IDEMPOTENCY_KEY,
)
async def transfer_credits(request: Request, services: ServicesDep, body: TransferBody) -> Response:
    order = LedgerRequest(_key(request), _thousandths(body.amount), body.note)
    return await _posted(services.credits.transfer, caller(request), body.sender, body.to, order)


@router.put(
    "/credits/accounts/{owner}",
    summary="Exempt an owner from paying, or not",
    response_model=EntryList,
    openapi_extra=openapi.REQUIRED_IDEMPOTENCY_KEY,
)
async def exempt_owner(
    request: Request,
    services: ServicesDep,
    owner: Annotated[str, Path(description="Account, or account:user.", examples=["local"])],
    body: AccountBody,
) -> Response:
    order = LedgerRequest(_key(request), note=body.note)
    audit_change(request, f"exempt={str(body.exempt).lower()}")
    return await _posted(services.credits.exempt, caller(request), owner, body.exempt, order, status=200)


async def _posted(post: Callable[..., tuple[LedgerEntry, ...]], *args: Any, status: int = 201) -> Response:
    entries = await pools.write(post, *args)
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


def _instant(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError) as error:
        raise InvalidInput.at(name, f"is {text[:40]!r}; write a date such as 2026-01-31T00:00:00Z") from error


def _file(parts: Iterator[str]) -> Response:
    headers = {"Content-Disposition": 'attachment; filename="statement.csv"'}
    return StreamingResponse(parts, media_type="text/csv; charset=utf-8", headers=headers)


DIALECT = ApiModule(
    name="credits",
    router=router,
    callback=no_callback,
    policies=(
        PathPolicy("/api/v1/prices", Scope.JOBS_READ),
        PathPolicy("/api/v1/credits", Scope.ACCOUNT_READ),
        PathPolicy("/api/v1/credits/statement", Scope.ACCOUNT_READ),
        PathPolicy("/api/v1/credits/grants", Scope.ADMIN, Scope.ADMIN),
        PathPolicy("/api/v1/credits/transfers", Scope.ACCOUNT_WRITE, Scope.ACCOUNT_WRITE),
        PathPolicy("/api/v1/credits/accounts/", Scope.ADMIN, Scope.ADMIN),
    ),
    tags={"credits": "Prices, balances and a ledger with an entry for everything that changes one."},
)


async def estimate(request: Request, credits_: CreditService, drafts: Sequence[Draft]) -> dict[str, Any]:
    """Return the answer to ``whatif``; nothing is stored."""
    is_charged = credits_.prices.is_charged
    needed = sum(amount_of(draft.cost) for draft in drafts)
    body: dict[str, Any] = {
        "cost": credits_of(needed) if is_charged else round(sum(draft.cost for draft in drafts), 4),
        "jobs": [{"recipe": draft.recipe, "cost": draft.cost} for draft in drafts],
        "charged": is_charged,
    }
    if bills := _bills(drafts):
        body["providerDollars"] = bills
    if not is_charged:
        return body
    balance = await pools.read(credits_.balance, caller(request))
    affordable = balance.is_exempt or needed <= balance.available
    return {**body, "available": credits_of(balance.available), "affordable": affordable}


def _bills(drafts: Sequence[Draft]) -> dict[str, float | None]:
    """Return the sum of each provider's bill; None where the price of a job is not known."""
    bills: dict[str, float | None] = {}
    for draft in drafts:
        for name, dollars in draft.bills.items():
            so_far = bills.get(name, 0.0)
            bills[name] = None if so_far is None or dollars is None else round(so_far + dollars, 6)
    return bills
