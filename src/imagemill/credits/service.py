"""Credits: permissions to read balances and to move credits, and statements."""

import csv
import io
from collections.abc import Iterable, Iterator

from imagemill.accounts.store import AccountStore, Owner
from imagemill.credits.ledger import Balance, Ledger, LedgerEntry, Posting, StatementPage, Transfer
from imagemill.credits.pricing import Prices
from imagemill.domain.access import MAX_END_USER, Caller, Role, Scope, end_user
from imagemill.domain.clock import now_us, to_datetime
from imagemill.domain.credits import EntryKind, shown
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Forbidden, InvalidInput, NotFound

_PAGE = 500
"""Entries read at once for a CSV statement."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Beginnings of cells that a spreadsheet would evaluate as a formula, full-width forms included."""
COLUMNS = ("number", "at", "kind", "available", "held", "balance", "job", "actor", "note")


@dataclass(frozen=True, slots=True)
class LedgerRequest:
    """A request to change a balance. ``amount`` is in thousandths of a credit."""

    key: str
    amount: int = 0
    note: str = ""


class CreditService:
    def __init__(self, ledger: Ledger, accounts: AccountStore, prices: Prices) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self.prices = prices

    def balance(self, caller: Caller, owner: str | None = None) -> Balance:
        """Return a balance. Raises `NotFound` for an owner the caller may not read."""
        return self._ledger.balance(self._visible(caller, owner))

    def statement(self, caller: Caller, stretch: StatementPage) -> list[LedgerEntry]:
        """Return a page of a statement. Raises `NotFound` for an owner the caller may not read."""
        self._visible(caller, stretch.owner)
        return self._ledger.statement(stretch)

    def grant(self, caller: Caller, owner: str, order: LedgerRequest) -> tuple[LedgerEntry, ...]:
        """Add credits to a balance. Raises `Forbidden` and the errors of `Ledger.post`."""
        _check_admin(caller)
        self._ensure_end_user(owner)
        return self._post(caller, order, Transfer(owner, EntryKind.GRANT, order.amount))

    def transfer(
        self, caller: Caller, sender: str, recipient: str, order: LedgerRequest
    ) -> tuple[LedgerEntry, ...]:
        """Move credits: for an administrator between any two owners, for an account to or from its end users.

        Raises `Forbidden`, `InvalidInput` and the errors of `Ledger.post`.
        """
        if sender == recipient:
            raise InvalidInput.at("to", "should be another owner than the sender")
        if not caller.may(Scope.ADMIN) and not (
            _is_account(caller) and all(_is_of(caller.account, each) for each in (sender, recipient))
        ):
            raise Forbidden("an account may transfer between itself and its own end users only")
        self._ensure_end_user(recipient)
        return self._post(
            caller,
            order,
            Transfer(sender, EntryKind.SENT, -order.amount),
            Transfer(recipient, EntryKind.RECEIVED, order.amount),
        )

    def exempt(
        self, caller: Caller, owner: str, is_exempt: bool, order: LedgerRequest
    ) -> tuple[LedgerEntry, ...]:
        """Set whether the owner is exempt from charges. Raises `Forbidden` and as `Ledger.post`."""
        _check_admin(caller)
        self._ensure_end_user(owner)
        return self._post(caller, order, Transfer(owner, EntryKind.EXEMPT if is_exempt else EntryKind.BILLED))

    def csv(self, caller: Caller, stretch: StatementPage) -> Iterator[str]:
        """Yield the statement as CSV, a page at a time: all entries from ``stretch`` on."""
        self._visible(caller, stretch.owner)
        return self._csv(stretch)

    def _csv(self, stretch: StatementPage) -> Iterator[str]:
        yield _csv_text([COLUMNS])
        before = stretch.before
        while True:
            page = self._ledger.statement(
                StatementPage(stretch.owner, before, stretch.since, stretch.until, _PAGE)
            )
            if page:
                yield _csv_text(map(_cells, page))
            if len(page) < _PAGE:
                return
            before = page[-1].number

    def _ensure_end_user(self, owner: str) -> None:
        """Add the end user if needed: it may be given credits before its first request."""
        account, found, name = owner.partition(":")
        if found and 1 <= len(name) <= MAX_END_USER and end_user(account, name) == owner:
            if self._accounts.owner(account) is None:
                raise NotFound(f"there is no owner {account[:64]}")
            self._accounts.ensure_owner(Owner(owner, Role.USER, now_us(), parent=account, name=name))

    def _post(self, caller: Caller, order: LedgerRequest, *moves: Transfer) -> tuple[LedgerEntry, ...]:
        return self._ledger.post(Posting(moves, caller.owner, order.key, now_us(), order.note))

    def _visible(self, caller: Caller, owner: str | None) -> str:
        if owner is None or owner == caller.owner:
            return caller.owner
        if caller.may(Scope.ADMIN) or (_is_account(caller) and _is_of(caller.account, owner)):
            return owner
        raise NotFound(f"there is no owner {owner[:64]}")


def _check_admin(caller: Caller) -> None:
    if not caller.may(Scope.ADMIN):
        raise Forbidden(f"this needs the scope {Scope.ADMIN.value!r}")


def _is_account(caller: Caller) -> bool:
    """Whether the caller is an account, not an end user that a service key acts for."""
    return caller.owner == caller.account


def _is_of(account: str, owner: str) -> bool:
    return owner == account or owner.startswith(f"{account}:")


def _cells(entry: LedgerEntry) -> tuple[str, ...]:
    return (
        str(entry.number),
        to_datetime(entry.at).isoformat(),
        entry.kind.value,
        shown(entry.available),
        shown(entry.held),
        shown(entry.balance),
        _text(entry.job_id or ""),
        _text(entry.actor),
        _text(entry.note),
    )


def _text(text: str) -> str:
    """Return a user's text as a cell that no spreadsheet evaluates as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text


def _csv_text(rows: Iterable[Iterable[str]]) -> str:
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)
    return written.getvalue()
