"""States of a personalised book and of its pages, derived from facts and jobs; nothing here reads or writes.

pending_analysis -> analyzing -> analyzed | analysis_failed -> reference_generating -> reference_ready
-> preview_generating -> preview_ready -> full_generating -> proof_ready -> completed

Any stage may end as generation_failed, which the action that began it resumes; canceled ends it for good.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from imagemill.domain.errors import Conflict

REFERENCE = 0
"""The page number of the reference sheet."""
FRONT_COVER = 1001
BACK_COVER = 1002
FILL = 1101
"""The page number of the first fill page of the manifest; the others follow."""


class BookState(StrEnum):
    PENDING_ANALYSIS = "pending_analysis"
    ANALYZING = "analyzing"
    ANALYZED = "analyzed"
    ANALYSIS_FAILED = "analysis_failed"
    REFERENCE_GENERATING = "reference_generating"
    REFERENCE_READY = "reference_ready"
    PREVIEW_GENERATING = "preview_generating"
    PREVIEW_READY = "preview_ready"
    FULL_GENERATING = "full_generating"
    PROOF_READY = "proof_ready"
    COMPLETED = "completed"
    GENERATION_FAILED = "generation_failed"
    CANCELED = "canceled"


class PageState(StrEnum):
    PENDING = "pending"
    """It is not asked for yet, or its job is not submitted yet."""
    GENERATING = "generating"
    READY = "ready"
    FAILED = "failed"


class BookAction(StrEnum):
    """The requests that a state may refuse."""

    REDRAW_REFERENCE = "redraw_reference"
    APPROVE_REFERENCE = "approve_reference"
    GENERATE = "generate"
    REDRAW_PAGE = "redraw_page"
    CHOOSE_VERSION = "choose_version"
    UNLOCK = "unlock"
    APPROVE = "approve"
    SHARE = "share"
    CANCEL = "cancel"
    DELETE = "delete"


_ALWAYS = frozenset({BookAction.CANCEL, BookAction.DELETE})
_PAGES = frozenset({BookAction.REDRAW_PAGE, BookAction.CHOOSE_VERSION, BookAction.SHARE})
MOVES: Mapping[BookState, frozenset[BookAction]] = {
    BookState.PENDING_ANALYSIS: _ALWAYS,
    BookState.ANALYZING: _ALWAYS,
    BookState.ANALYZED: _ALWAYS,
    BookState.ANALYSIS_FAILED: _ALWAYS,
    BookState.REFERENCE_GENERATING: _ALWAYS,
    BookState.REFERENCE_READY: _ALWAYS
    | {BookAction.REDRAW_REFERENCE, BookAction.APPROVE_REFERENCE, BookAction.GENERATE},
    BookState.PREVIEW_GENERATING: _ALWAYS | _PAGES,
    BookState.PREVIEW_READY: _ALWAYS | _PAGES | {BookAction.UNLOCK},
    BookState.FULL_GENERATING: _ALWAYS | _PAGES,
    BookState.PROOF_READY: _ALWAYS | _PAGES | {BookAction.APPROVE},
    BookState.COMPLETED: _PAGES | {BookAction.DELETE},
    BookState.GENERATION_FAILED: _ALWAYS
    | _PAGES
    | {BookAction.REDRAW_REFERENCE, BookAction.GENERATE, BookAction.UNLOCK, BookAction.APPROVE},
    BookState.CANCELED: frozenset({BookAction.DELETE}),
}
"""The actions that may be allowed in each state; the facts decide about some of them."""


class IllegalMove(Conflict):
    """The state of a book does not allow the action; nothing has changed."""

    code = "illegal_move"

    def __init__(self, message: str, state: BookState, allowed: frozenset[BookAction]) -> None:
        super().__init__(message)
        self.state = state
        self.allowed = tuple(sorted(action.value for action in allowed))

    @property
    def details(self) -> Mapping[str, Any]:
        return {"state": self.state.value, "allowed": list(self.allowed)}
