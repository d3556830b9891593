"""What a request would cost: ``whatif``, and what the OpenAPI document says of prices."""

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import Request

from imagemill.domain.jobs import Draft
from imagemill.domain.money import amount_of, credits_of
from imagemill.service.credits import Credits
from imagemill.service.prices import Prices
from imagemill.web.gate import caller


async def estimate(request: Request, credits_: Credits, drafts: Sequence[Draft]) -> dict[str, Any]:
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


def priced(prices: Prices) -> dict[str, Any]:
    """The prices, as an extension of a submitting route in the OpenAPI document."""
    return {"x-price": prices.table()}
