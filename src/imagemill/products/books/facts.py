"""The facts about a personalised book, and what follows from them: states, current versions, what is allowed.

Facts are what clients have asked for, what jobs have made, and how the jobs stand. Everything here is pure.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from functools import cached_property
from typing import Any

from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import OPEN, JobStatus
from imagemill.products.books.book_manifest import BookManifest, Cover, FillPage, Illustration, Page
from imagemill.products.books.book_states import (
    BACK_COVER,
    FILL,
    FRONT_COVER,
    MOVES,
    REFERENCE,
    BookAction,
    BookState,
    IllegalMove,
    PageState,
)

_HOUR = 3600 * SECOND
_DAY = 24 * _HOUR
ANALYSIS_TRIES = 3
"""Jobs that try to analyse a photo: no request of a client would begin another one."""
GONE = "its job was deleted before it had ended; ask for the missing pages again"


class JobKind(StrEnum):
    ANALYSIS = "analysis"
    """Its page is the position of the character in the manifest."""
    PICTURE = "picture"
    """The picture of a page, or the reference sheet."""
    PAGE = "page"
    """The preview of a page with its text, and its identity score."""
    PROOF = "proof"
    PRINT = "print"
    """Its version is the number of the approval."""
    ERASURE = "erasure"
    """Its edition is ``photo`` or ``all``."""


class FileKind(StrEnum):
    CROP = "crop"
    """The face of a photo; its page is the position of the character in the manifest."""
    DETAILS = "details"
    """The analysis of a photo as JSON."""
    PICTURE = "picture"
    PREVIEW = "preview"
    PROOF = "proof"
    BLOCK = "block"
    COVER = "cover"
    SPREADS = "spreads"


PHOTO_FILES = (FileKind.CROP, FileKind.DETAILS)
"""The files that are deleted with the photo."""


class VersionCause(StrEnum):
    FIRST = "first"
    REDRAW = "redraw"
    AUTOMATIC = "automatic"


@dataclass(frozen=True, slots=True)
class BookRules:
    """The settings that decide what follows from the facts."""

    identity_limit: float
    automatic_redraws: int
    redraws: int
    photo_days: float
    delete_photo_at_approval: bool
    change_window_h: float


@dataclass(frozen=True, slots=True)
class BookRow:
    """A personalization as clients have asked for it. Instants are microseconds since the epoch."""

    id: str
    owner: str
    slug: str
    manifest: str
    """The digest of the book's manifest and files."""
    profile: str
    created_at: int
    callback_url: str | None = None
    consent_who: str | None = None
    consent_at: int | None = None
    child_name: str | None = None
    child_age: int | None = None
    child_gender: str | None = None
    language: str | None = None
    reference_version: int | None = None
    reference_approved_at: int | None = None
    generated_at: int | None = None
    unlocked_at: int | None = None
    unlocked_by: str | None = None
    canceled_at: int | None = None
    photo_deleted_at: int | None = None
    deleted_at: int | None = None
    """When everything was asked to be deleted; ``erased_at``: when it was."""
    erased_at: int | None = None
    deletion: Mapping[str, Any] = field(default_factory=dict[str, Any])
    resumes: int = 0
    problem: str | None = None
    due_at: int | None = None
    share_key: str | None = None
    """A random text that the link for readers is signed with; None while the book is not shared."""
    share_until: int | None = None


@dataclass(frozen=True, slots=True)
class PhotoFact:
    character: str
    key: str
    sha256: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class AnalysisFact:
    character: str
    usable: bool
    problem: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class VersionFact:
    page: int
    version: int
    seed: int
    mode: str
    """How faces get onto it; empty without a face."""
    choice: Mapping[str, Any]
    """The fields of the `IdentityChoice`."""
    feedback: str
    cause: VersionCause
    chosen_at: int
    created_at: int


@dataclass(frozen=True, slots=True)
class JobFact:
    """A job of a book. ``status`` None: it is not submitted yet, or deleted."""

    id: str
    kind: JobKind
    page: int
    version: int
    edition: str
    resume: int
    submitted: bool
    seen: bool
    created_at: int
    status: JobStatus | None = None
    error: str | None = None

    @property
    def is_open(self) -> bool:
        return not self.submitted or self.status in OPEN

    @property
    def problem(self) -> str:
        """The reason why a job that has ended made nothing."""
        return self.error or (GONE if self.status is None else f"its job was {self.status.value}")


@dataclass(frozen=True, slots=True)
class FileFact:
    kind: FileKind
    page: int
    version: int
    edition: str
    key: str
    sha256: str
    media_type: str
    size: int
    created_at: int
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class ApprovalFact:
    number: int
    edition: str
    at: int
    who: str
    profile: str
    pages: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Facts:
    """All facts about one book."""

    book: BookRow
    manifest: BookManifest
    photos: Mapping[str, PhotoFact] = field(default_factory=dict[str, PhotoFact])
    analyses: Mapping[str, AnalysisFact] = field(default_factory=dict[str, AnalysisFact])
    versions: Sequence[VersionFact] = ()
    """By page and version."""
    jobs: Sequence[JobFact] = ()
    files: Sequence[FileFact] = ()
    approvals: Sequence[ApprovalFact] = ()
    """By number."""

    @cached_property
    def _files(self) -> Mapping[tuple[FileKind, int, int, str], FileFact]:
        return {(each.kind, each.page, each.version, each.edition): each for each in self.files}

    @cached_property
    def _jobs(self) -> Mapping[tuple[JobKind, int, int, str], JobFact]:
        """The latest job of each piece of work."""
        ordered = sorted(self.jobs, key=lambda job: (job.resume, job.id))
        return {(each.kind, each.page, each.version, each.edition): each for each in ordered}

    @cached_property
    def _by_page(self) -> Mapping[int, Sequence[VersionFact]]:
        found: dict[int, list[VersionFact]] = {}
        for each in self.versions:
            found.setdefault(each.page, []).append(each)
        return found

    def file(self, kind: FileKind, page: int = 0, version: int = 0, edition: str = "") -> FileFact | None:
        return self._files.get((kind, page, version, edition))

    def job(self, kind: JobKind, page: int = 0, version: int = 0, edition: str = "") -> JobFact | None:
        return self._jobs.get((kind, page, version, edition))

    def of_page(self, page: int) -> Sequence[VersionFact]:
        return self._by_page.get(page, ())

    def version(self, page: int, version: int) -> VersionFact | None:
        return next((each for each in self.of_page(page) if each.version == version), None)

    def may_try(self, kind: JobKind, page: int = 0, version: int = 0, edition: str = "") -> bool:
        """Whether this work has no job yet, or a failed one from before the last request to go on."""
        job = self.job(kind, page, version, edition)
        return job is None or (not job.is_open and job.resume < self.book.resumes)

    def failure(self, kind: JobKind, page: int = 0, version: int = 0, edition: str = "") -> str | None:
        """Return why the work failed for good, None while it is under way or about to be tried."""
        job = self.job(kind, page, version, edition)
        if job is None or self.may_try(kind, page, version, edition) or job.is_open:
            return None
        return job.problem if job.status is not JobStatus.SUCCEEDED else None

    def analysis_tries(self, position: int) -> Sequence[JobFact]:
        """Return the jobs of the analysis of a character's photo; ``version`` counts them."""
        return [each for each in self.jobs if each.kind is JobKind.ANALYSIS and each.page == position]

    def analysis_failure(self, position: int) -> str | None:
        """Return why a photo could not be analysed, after all tries."""
        tries = self.analysis_tries(position)
        if len(tries) < ANALYSIS_TRIES or any(each.is_open for each in tries):
            return None
        return tries[-1].problem

    # Versions and pages

    def is_ready(self, version: VersionFact) -> bool:
        at = (version.page, version.version)
        has_picture = self.file(FileKind.PICTURE, *at) is not None
        return has_picture and (version.page == REFERENCE or self.file(FileKind.PREVIEW, *at) is not None)

    def version_error(self, version: VersionFact) -> str | None:
        """Return why a version failed; None for one that is ready or under way."""
        if self.is_ready(version):
            return None
        at = (version.page, version.version)
        if self.file(FileKind.PICTURE, *at) is None:
            return self.failure(JobKind.PICTURE, *at)
        return self.failure(JobKind.PAGE, *at)

    def version_state(self, version: VersionFact) -> PageState:
        if self.is_ready(version):
            return PageState.READY
        return PageState.GENERATING if self.version_error(version) is None else PageState.FAILED

    def page_state(self, page: int) -> PageState:
        states = {self.version_state(each) for each in self.of_page(page)}
        for state in (PageState.GENERATING, PageState.READY, PageState.FAILED):
            if state in states:
                return state
        return PageState.PENDING

    def score(self, version: VersionFact) -> float | None:
        made = self.file(FileKind.PREVIEW, version.page, version.version)
        score = made.body.get("score") if made is not None else None
        return float(score) if score is not None else None

    def current(self, page: int) -> VersionFact | None:
        """Return the version that is printed: the best of those that were asked for or chosen last."""
        ready = [each for each in self.of_page(page) if self.is_ready(each)]
        if page == REFERENCE and self.book.reference_version is not None:
            ready = [each for each in ready if each.version == self.book.reference_version]
        return max(ready, key=self._preference, default=None)

    def _preference(self, version: VersionFact) -> tuple[int, float, int]:
        score = self.score(version)
        return version.chosen_at, -1.0 if score is None else score, version.version

    def latest_round(self, page: int) -> Sequence[VersionFact]:
        """Return the versions that were asked for last: one by a client, and those that replaced it."""
        versions = self.of_page(page)
        last = max((each.chosen_at for each in versions), default=0)
        return [each for each in versions if each.chosen_at == last]

    def is_low(self, version: VersionFact, limit: float) -> bool:
        """Whether the likeness of a face is below the limit, or could not be told."""
        if not self.has_photo_face(version.page) or version.page == REFERENCE:
            return False
        score = self.score(version)
        return score is None or score < limit

    def redraws(self, page: int) -> int:
        """Return how many redraws of a page were asked for and have not failed."""
        asked = [each for each in self.of_page(page) if each.cause is VersionCause.REDRAW]
        return sum(self.version_state(each) is not PageState.FAILED for each in asked)

    # The manifest

    @property
    def photo_characters(self) -> Sequence[str]:
        return [each.id for each in self.manifest.characters if each.needs_photo]

    def position(self, character: str) -> int:
        """Return the position of a character in the manifest, which is the page of its analysis."""
        return next(at for at, each in enumerate(self.manifest.characters) if each.id == character)

    def sheet(self, page: int) -> Illustration | FillPage | None:
        return sheets_of(self.manifest).get(page)

    def has_photo_face(self, page: int) -> bool:
        sheet = self.sheet(page)
        if not isinstance(sheet, Illustration):
            return False
        return any(each.id in self.photo_characters for each in sheet.characters)

    @property
    def wanted(self) -> Sequence[int]:
        """The pages that were asked for, in the order of the book."""
        if self.book.unlocked_at is not None:
            return full_pages(self.manifest)
        return preview_pages(self.manifest) if self.book.generated_at is not None else ()

    # The whole

    @cached_property
    def edition(self) -> str | None:
        """The digest of all current page pictures; None until all pages are ready."""
        pages = self.wanted
        if self.book.unlocked_at is None or not pages:
            return None
        digest = hashlib.sha256()
        for page in pages:
            current = self.current(page)
            if current is None or self.page_state(page) is not PageState.READY:
                return None
            picture = self.file(FileKind.PICTURE, page, current.version)
            assert picture is not None  # noqa: S101 - a ready version has one
            digest.update(f"{page}:{current.version}:{picture.sha256}\n".encode())
        return digest.hexdigest()

    @property
    def approval(self) -> ApprovalFact | None:
        """The approval of the book as it is now."""
        edition = self.edition
        found = [each for each in self.approvals if each.edition == edition]
        return found[-1] if edition is not None and found else None

    @property
    def is_printed(self) -> bool:
        approval = self.approval
        return approval is not None and self.file(FileKind.BLOCK, 0, approval.number) is not None

    def change_until(self, rules: BookRules) -> int | None:
        """Return until when pages may change; None before the first approval."""
        if not self.approvals:
            return None
        return self.approvals[0].at + round(rules.change_window_h * _HOUR)

    def photo_until(self, rules: BookRules) -> int:
        return self.book.created_at + round(rules.photo_days * _DAY)

    @cached_property
    def state(self) -> BookState:
        book = self.book
        if book.canceled_at is not None or book.deleted_at is not None:
            return BookState.CANCELED
        if book.unlocked_at is not None:
            return self._full_state()
        if book.generated_at is not None:
            ready = BookState.PREVIEW_READY
            return self._state_of(self.wanted, BookState.PREVIEW_GENERATING) or ready
        if self.of_page(REFERENCE):
            match self.page_state(REFERENCE):
                case PageState.READY:
                    return BookState.REFERENCE_READY
                case PageState.FAILED:
                    return BookState.GENERATION_FAILED
                case _:
                    return BookState.REFERENCE_GENERATING
        return self._analysis_state()

    def _analysis_state(self) -> BookState:
        wanted = self.photo_characters
        if all(each in self.analyses for each in wanted):
            usable = all(self.analyses[each].usable for each in wanted)
            return BookState.ANALYZED if usable else BookState.ANALYSIS_FAILED
        missing = [self.position(each) for each in wanted if each not in self.analyses]
        if any(self.analysis_failure(at) is not None for at in missing):
            return BookState.ANALYSIS_FAILED
        jobs = [job for at in missing for job in self.analysis_tries(at)]
        begun = self.analyses or any(job.status is JobStatus.RUNNING for job in jobs)
        return BookState.ANALYZING if begun else BookState.PENDING_ANALYSIS

    def _state_of(self, pages: Sequence[int], generating: BookState) -> BookState | None:
        states = {self.page_state(page) for page in pages}
        if states & {PageState.PENDING, PageState.GENERATING}:
            return generating
        return BookState.GENERATION_FAILED if PageState.FAILED in states else None

    def _full_state(self) -> BookState:
        unfinished = self._state_of(self.wanted, BookState.FULL_GENERATING)
        edition = self.edition
        if unfinished is not None or edition is None:
            return unfinished or BookState.FULL_GENERATING
        approval = self.approval
        if approval is not None:
            if self.is_printed:
                return BookState.COMPLETED
            failed = self.failure(JobKind.PRINT, 0, approval.number, edition) is not None
            return BookState.GENERATION_FAILED if failed else BookState.PROOF_READY
        if self.file(FileKind.PROOF, edition=edition) is not None:
            return BookState.PROOF_READY
        failed = self.failure(JobKind.PROOF, edition=edition) is not None
        return BookState.GENERATION_FAILED if failed else BookState.FULL_GENERATING

    @property
    def failures(self) -> Iterator[str]:
        """Yield the reasons why pages, documents or analyses failed."""
        for at, character in enumerate(self.manifest.characters):
            analysis = self.analyses.get(character.id)
            if analysis is not None and not analysis.usable:
                yield analysis.message or "the photo cannot be used"
            elif analysis is None and (problem := self.analysis_failure(at)):
                yield problem
        for page in (REFERENCE, *self.wanted):
            if self.page_state(page) is PageState.FAILED:
                errors = [error for each in self.of_page(page) if (error := self.version_error(each))]
                yield f"{page_title(page)}: {errors[-1]}"
        edition, approval = self.edition or "", self.approval
        if problem := self.failure(JobKind.PROOF, edition=edition):
            yield f"proof: {problem}"
        if approval and (problem := self.failure(JobKind.PRINT, 0, approval.number, edition)):
            yield f"print files: {problem}"

    def allowed(self, rules: BookRules, now: int) -> frozenset[BookAction]:
        """Return the actions that would not be refused now."""
        if self.book.deleted_at is not None:
            return frozenset()
        return frozenset(each for each in MOVES[self.state] if self._may(each, rules, now))

    def _may(self, action: BookAction, rules: BookRules, now: int) -> bool:
        book = self.book
        match action:
            case BookAction.GENERATE:
                return book.reference_approved_at is not None and book.unlocked_at is None
            case BookAction.REDRAW_REFERENCE:
                is_early = book.reference_approved_at is None and book.photo_deleted_at is None
                return is_early and bool(self.of_page(REFERENCE)) and self.redraws(REFERENCE) < rules.redraws
            case BookAction.APPROVE_REFERENCE:
                return book.reference_approved_at is None
            case BookAction.REDRAW_PAGE | BookAction.CHOOSE_VERSION:
                until = self.change_until(rules)
                return book.generated_at is not None and (until is None or now < until)
            case BookAction.UNLOCK | BookAction.SHARE:
                return book.generated_at is not None
            case BookAction.APPROVE:
                return self.state is BookState.PROOF_READY or self.approval is not None
            case _:
                return True

    def check(self, action: BookAction, rules: BookRules, now: int) -> None:
        """Raise `IllegalMove` where the action is not allowed."""
        allowed = self.allowed(rules, now)
        if action not in allowed:
            named = ", ".join(sorted(allowed)) or "nothing"
            message = f"{action.value} is not possible while the book is {self.state.value}; allowed: {named}"
            if action in (BookAction.REDRAW_PAGE, BookAction.CHOOSE_VERSION):
                until = self.change_until(rules)
                if until is not None and now >= until:
                    message = (
                        f"the book was approved more than {rules.change_window_h:g} hours ago, so its pages "
                        "no longer change; begin another book"
                    )
            raise IllegalMove(message, self.state, allowed)


def sheets_of(manifest: BookManifest) -> Mapping[int, Illustration | FillPage]:
    """Return everything that has a picture, by page number."""
    sheets: dict[int, Illustration | FillPage] = {REFERENCE: manifest.reference}
    sheets |= {page.page_num: page for page in manifest.pages}
    sheets |= {FRONT_COVER: manifest.covers.front, BACK_COVER: manifest.covers.back}
    return sheets | {FILL + at: page for at, page in enumerate(manifest.fill) if page.base is not None}


def preview_pages(manifest: BookManifest) -> Sequence[int]:
    return sorted(page.page_num for page in manifest.preview_pages)


def full_pages(manifest: BookManifest) -> Sequence[int]:
    """Return all pages that are printed, with covers and fill pages, in the order of their numbers."""
    sheets = sheets_of(manifest)
    return sorted(
        number
        for number, sheet in sheets.items()
        if number != REFERENCE
        and not (isinstance(sheet, Page) and not (sheet.availability.full or sheet.availability.preview))
    )


def page_title(page: int) -> str:
    """Return the name of a page in messages."""
    named = {REFERENCE: "reference sheet", FRONT_COVER: "front cover", BACK_COVER: "back cover"}
    if page in named:
        return named[page]
    return f"page {page}" if page < FRONT_COVER else f"fill page {page - FILL + 1}"


def texts_of(sheet: Illustration | FillPage | None) -> Sequence[Any]:
    """Return the text layers of a sheet."""
    return sheet.text_layers if isinstance(sheet, (Page, Cover, FillPage)) else ()
