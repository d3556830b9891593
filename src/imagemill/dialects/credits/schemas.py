"""What the routes of credits read and answer."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from imagemill.dialects.fields import Real
from imagemill.domain.clock import to_datetime
from imagemill.domain.money import CREDIT, MAX_AMOUNT, credits_of
from imagemill.store.books import LedgerEntry
from imagemill.store.ledger import Balance

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
