"""Personalised books: what clients may ask of one, and how it is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagemill.products.books.book_states import BookAction, BookState, PageState

NAME = "books"
"""The dialect of its jobs."""


@dataclass(frozen=True, slots=True)
class Consent:
    """The permission to use the photo: by whom, and since when in microseconds since the epoch."""

    who: str
    when: int


@dataclass(frozen=True, slots=True)
class NewBook:
    """The request for a personalised book."""

    slug: str
    photos: Mapping[str, bytes]
    """The uploaded photo by the id of its character."""
    consent: Consent
    profile: str | None = None
    """The print profile; None means that of the settings, else that of the book."""
    callback_url: str | None = None


@dataclass(frozen=True, slots=True)
class ChildDetails:
    """The child of a book; ``gender`` is ``boy``, ``girl`` or ``neutral``."""

    name: str
    age: int
    gender: str
    language: str


@dataclass(frozen=True, slots=True)
class BookFile:
    """A stored file of a book."""

    key: str
    """The key of its blob."""
    media_type: str
    size: int
    sha256: str
    created_at: int


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version of a page, or of the reference sheet. Instants are microseconds since the epoch."""

    version: int
    state: PageState
    seed: int
    mode: str
    """How the face got onto it (`TransferMode`); empty for a page without a face."""
    feedback: str
    automatic: bool
    """Whether it was drawn because the version before it had a low identity score."""
    current: bool
    """Whether it is the one that is printed."""
    score: float | None
    findings: Sequence[Mapping[str, Any]]
    picture: BookFile | None
    """The picture at print size, without text."""
    preview: BookFile | None
    """The page with its text; None for the reference sheet."""
    error: str | None
    """Why it failed."""
    created_at: int


@dataclass(frozen=True, slots=True)
class PageView:
    """A page. ``number`` is that of the manifest, or the number that `book_states` gives other sheets."""

    number: int
    state: PageState
    score: float | None
    flagged: bool
    """Whether its identity score is below the limit, or could not be told, after all automatic redraws."""
    redraws_left: int
    versions: Sequence[VersionView]

    @property
    def current(self) -> VersionView | None:
        return next((version for version in self.versions if version.current), None)


@dataclass(frozen=True, slots=True)
class AnalysisView:
    """The answer about a photo."""

    character: str
    usable: bool | None
    """None while it is not known."""
    problem: str | None
    message: str | None
    """A sentence for the parent."""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Box of the face, colours, description; empty once the photo is deleted."""


@dataclass(frozen=True, slots=True)
class PersonalizationView:
    id: str
    slug: str
    manifest: str
    """The digest of the book's manifest."""
    profile: str
    state: BookState
    allowed: Sequence[BookAction]
    problem: str | None
    """Why it failed or waits, where it does."""
    analyses: Sequence[AnalysisView]
    reference: PageView | None
    reference_approved: bool
    child: ChildDetails | None
    pages: Sequence[PageView]
    """The pages that are asked for: those of the preview, then all with covers and fill pages."""
    done: int
    """Pages that are ready."""
    total: int
    created_at: int
    unlocked_at: int | None
    approved_at: int | None
    canceled_at: int | None
    photo_deleted_at: int | None
    deleted_at: int | None
    """Set on the tombstone that a deletion leaves; then nothing but ids, times and counts is known."""
    deletion: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Counts of what was deleted, and the ids of the jobs whose events prove it."""
    jobs: Sequence[str] = ()
    """The ids of its jobs, for its events."""


@dataclass(frozen=True, slots=True)
class PersonalizationSummary:
    id: str
    slug: str
    state: BookState
    done: int
    total: int
    created_at: int


@dataclass(frozen=True, slots=True)
class BookFilter:
    """A filter of an owner's personalizations, the newest first."""

    owner: str
    slug: str | None = None
    before: str | None = None
    """Return those with smaller ids (the cursor)."""
    limit: int = 50


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """The approval record, from which the print files are made."""

    number: int
    """1 for the first approval; a change within the change window needs another one."""
    at: int
    who: str
    profile: str
    edition: str
    """The digest over all page pictures and texts."""
    pages: Sequence[Mapping[str, Any]]
    """Page number, version, SHA-256 of the picture and of the text."""
    change_until: int


@dataclass(frozen=True, slots=True)
class BookFiles:
    """The files of a book, as far as they may be delivered."""

    pages: Mapping[int, BookFile]
    """The preview with its text by page number."""
    block: BookFile | None = None
    cover: BookFile | None = None
    spreads: BookFile | None = None
    proof: BookFile | None = None


class BookService:
    """Every method takes the owner and raises `NotFound` for another one's book. `IllegalMove` names the
    state and what is allowed; a refused request changes nothing."""

    def create(self, owner: str, request: NewBook, *, trace: str | None = None) -> PersonalizationView:
        """Store the photos and start the analysis.

        Raises `InvalidInput` at ``photo.<characterId>``, ``profile`` or ``consent``; `NotFound` for the slug.
        """
        raise NotImplementedError

    def get(self, owner: str, id_: str) -> PersonalizationView:
        raise NotImplementedError

    def owner_of(self, id_: str) -> str:
        """Return the owner of a book, for requests by a signed link. Raises `NotFound`."""
        raise NotImplementedError

    def list(self, wanted: BookFilter) -> Sequence[PersonalizationSummary]:
        raise NotImplementedError

    def redraw_reference(self, owner: str, id_: str, feedback: str = "") -> PersonalizationView:
        """Draw another reference sheet. Raises `InvalidInput` at ``feedback`` and `IllegalMove`."""
        raise NotImplementedError

    def approve_reference(self, owner: str, id_: str, version: int | None = None) -> PersonalizationView:
        """Approve a version of the reference sheet; None means the current one."""
        raise NotImplementedError

    def generate(self, owner: str, id_: str, child: ChildDetails) -> PersonalizationView:
        """Make the preview pages, or those that are missing.

        Raises `InvalidInput` at ``childName``, ``childAge``, ``childGender`` or ``language``.
        """
        raise NotImplementedError

    def redraw_page(self, owner: str, id_: str, page: int, feedback: str = "") -> PersonalizationView:
        """Draw another version of a page. Raises `NotFound` for a page that is not made."""
        raise NotImplementedError

    def choose_version(self, owner: str, id_: str, page: int, version: int) -> PersonalizationView:
        """Take an earlier version of a page, or of the reference sheet before it is approved."""
        raise NotImplementedError

    def unlock(self, owner: str, id_: str, *, by: str = "") -> PersonalizationView:
        """Make all pages, or those that are missing. Idempotent. ``by``: who has unlocked it."""
        raise NotImplementedError

    def approve(self, owner: str, id_: str, who: str) -> PersonalizationView:
        """Write the approval record and make the print files. Idempotent while nothing changes."""
        raise NotImplementedError

    def cancel(self, owner: str, id_: str) -> PersonalizationView:
        raise NotImplementedError

    def erase(self, owner: str, id_: str) -> PersonalizationView:
        """Delete everything that was made from the photo; idempotent. Return the tombstone."""
        raise NotImplementedError

    def files(self, owner: str, id_: str) -> BookFiles:
        """Return the files. Those for print are None until the book is complete; see `file`."""
        raise NotImplementedError

    def file(self, owner: str, id_: str, kind: str) -> BookFile:
        """Return the file ``block``, ``cover``, ``spreads`` or ``proof``. Raises `IllegalMove` until it is
        complete."""
        raise NotImplementedError

    def approval(self, owner: str, id_: str) -> ApprovalView:
        """Return the latest approval record. Raises `NotFound` where nothing was approved."""
        raise NotImplementedError
