"""Personalised books as clients see them: the requests, and the views of a book, its pages and files."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from imagemill.domain.dataclass import dataclass
from imagemill.products.books.book_states import REFERENCE, BookAction, BookState, PageState
from imagemill.products.books.facts import (
    BookRow,
    BookRules,
    Facts,
    FileFact,
    FileKind,
    JobFact,
    JobKind,
    VersionCause,
    VersionFact,
)


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
class BoundBook:
    """The book as the print shop binds it. Lengths are millimetres."""

    width: float
    height: float
    spine: float
    cover: str
    """``soft`` or ``hard``."""
    order: Sequence[int | None]
    """The numbers of the block's pages as they are bound; None for an empty page."""


@dataclass(frozen=True, slots=True)
class SharedLink:
    """The link by which others may read the book."""

    key: str
    """The random text that its signature covers."""
    until: int
    """When it expires, in microseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class PersonalizationView:
    id: str
    owner: str
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
    bound: BoundBook | None = None
    """None once it is deleted, or while its print profile cannot be read."""
    share: SharedLink | None = None
    """None while it is not shared."""


@dataclass(frozen=True, slots=True)
class PersonalizationSummary:
    id: str
    owner: str
    slug: str
    state: BookState
    done: int
    total: int
    created_at: int


@dataclass(frozen=True, slots=True)
class BookFilter:
    """A filter of personalizations, the newest first."""

    owner: str | None
    """None means those of all owners."""
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


def personalization(
    facts: Facts,
    rules: BookRules,
    now: int,
    details: Mapping[str, Mapping[str, Any]],
    bound: BoundBook | None = None,
) -> PersonalizationView:
    """Return a book as it is shown; ``details`` are those of the analyses by character."""
    book = facts.book
    is_deleted = book.deleted_at is not None
    pages = () if is_deleted else tuple(page_view(facts, page, rules) for page in facts.wanted)
    has_reference = bool(facts.of_page(REFERENCE)) and not is_deleted
    return PersonalizationView(
        id=book.id,
        owner=book.owner,
        slug=book.slug,
        manifest=book.manifest,
        profile=book.profile,
        state=facts.state,
        allowed=sorted(facts.allowed(rules, now)),
        problem=None if is_deleted else next(facts.failures, None) or book.problem,
        analyses=() if is_deleted else _analyses(facts, details),
        reference=page_view(facts, REFERENCE, rules) if has_reference else None,
        reference_approved=book.reference_approved_at is not None,
        child=None if is_deleted else _child(book),
        pages=pages,
        done=sum(page.state is PageState.READY for page in pages),
        total=len(pages),
        created_at=book.created_at,
        unlocked_at=book.unlocked_at,
        approved_at=facts.approvals[-1].at if facts.approvals and not is_deleted else None,
        canceled_at=book.canceled_at,
        photo_deleted_at=book.photo_deleted_at,
        deleted_at=book.deleted_at,
        deletion=_deletion(facts) if is_deleted else {},
        jobs=[job.id for job in facts.jobs if job.submitted and (not is_deleted or _is_proof(job))],
        bound=None if is_deleted else bound,
        share=shared_link(book, now),
    )


def shared_link(book: BookRow, now: int) -> SharedLink | None:
    """Return the link by which others may read a book now."""
    is_over = book.deleted_at is not None or book.canceled_at is not None
    if is_over or book.share_key is None or book.share_until is None or book.share_until <= now:
        return None
    return SharedLink(book.share_key, book.share_until)


def _is_proof(job: JobFact) -> bool:
    """Whether a job is the proof of a deletion."""
    return job.kind is JobKind.ERASURE


def _deletion(facts: Facts) -> dict[str, Any]:
    proofs = [job.id for job in facts.jobs if job.submitted and _is_proof(job)]
    return {**facts.book.deletion, "erasedAt": facts.book.erased_at, "jobIds": proofs}


def _child(book: BookRow) -> ChildDetails | None:
    if book.child_name is None or book.child_age is None:
        return None
    return ChildDetails(book.child_name, book.child_age, book.child_gender or "", book.language or "")


def _analyses(facts: Facts, details: Mapping[str, Mapping[str, Any]]) -> list[AnalysisView]:
    views: list[AnalysisView] = []
    for character in facts.photo_characters:
        known = facts.analyses.get(character)
        if known is None:
            failure = facts.analysis_failure(facts.position(character))
            views.append(AnalysisView(character, None, None, failure))
        else:
            told = details.get(character, {})
            views.append(AnalysisView(character, known.usable, known.problem, known.message, told))
    return views


def page_view(facts: Facts, page: int, rules: BookRules) -> PageView:
    current = facts.current(page)
    state = facts.page_state(page)
    is_low = current is not None and facts.is_low(current, rules.identity_limit)
    return PageView(
        number=page,
        state=state,
        score=facts.score(current) if current is not None else None,
        flagged=is_low and state is PageState.READY,
        redraws_left=max(0, rules.redraws - facts.redraws(page)) if facts.has_photo_face(page) else 0,
        versions=[_version_view(facts, each, is_current=each is current) for each in facts.of_page(page)],
    )


def _version_view(facts: Facts, version: VersionFact, *, is_current: bool) -> VersionView:
    at = (version.page, version.version)
    preview = facts.file(FileKind.PREVIEW, *at)
    picture = facts.file(FileKind.PICTURE, *at)
    return VersionView(
        version=version.version,
        state=facts.version_state(version),
        seed=version.seed,
        mode=version.mode,
        feedback=version.feedback,
        automatic=version.cause is VersionCause.AUTOMATIC,
        current=is_current,
        score=facts.score(version),
        findings=preview.body.get("findings", ()) if preview is not None else (),
        picture=delivered(picture),
        preview=delivered(preview),
        error=facts.version_error(version),
        created_at=version.created_at,
    )


def summary(facts: Facts) -> PersonalizationSummary:
    book, pages = facts.book, facts.wanted
    done = sum(facts.page_state(page) is PageState.READY for page in pages)
    id_, owner, made = book.id, book.owner, book.created_at
    return PersonalizationSummary(id_, owner, book.slug, facts.state, done, len(pages), made)


def delivered(file: FileFact | None) -> BookFile | None:
    if file is None:
        return None
    return BookFile(file.key, file.media_type, file.size, file.sha256, file.created_at)


def delivered_files(facts: Facts) -> BookFiles:
    """Return the files that may be delivered now."""
    if facts.book.deleted_at is not None:
        return BookFiles({})
    pages: dict[int, BookFile] = {}
    for page in facts.wanted:
        current = facts.current(page)
        preview = facts.file(FileKind.PREVIEW, page, current.version) if current is not None else None
        if (shown := delivered(preview)) is not None:
            pages[page] = shown
    edition, approval = facts.edition, facts.approval
    proof = delivered(facts.file(FileKind.PROOF, edition=edition)) if edition is not None else None
    if approval is None or not facts.is_printed:
        return BookFiles(pages, proof=proof)
    made = {
        kind.value: delivered(facts.file(kind, 0, approval.number))
        for kind in (FileKind.BLOCK, FileKind.COVER, FileKind.SPREADS)
    }
    return BookFiles(pages, proof=proof, **made)
