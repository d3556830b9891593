"""The progress of books: which jobs follow from the facts, and their submission.

Jobs are written as rows before they are submitted, each with a unique key, so two leaders or a killed process
neither make a page twice nor forget one.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from imagemill.domain.clock import SECOND, now_us, random_below
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import (
    Conflict,
    ImagemillError,
    InvalidInput,
    StorageError,
)
from imagemill.domain.images import MAX_SEED
from imagemill.domain.jobs import Draft
from imagemill.jobs.submit import JobRequest, Submitter, draw_ids
from imagemill.products.books.book_manifest import FillPage, Illustration
from imagemill.products.books.book_states import FRONT_COVER, REFERENCE, PageState
from imagemill.products.books.facts import (
    ANALYSIS_TRIES,
    BookRules,
    Facts,
    FileKind,
    JobFact,
    JobKind,
    VersionCause,
    VersionFact,
)
from imagemill.products.books.store import BookChanges, BookStore

log = logging.getLogger(__name__)

NAME = "books"
"""The dialect of the jobs of books."""
RECIPES = {
    JobKind.ANALYSIS: "bookAnalysis",
    JobKind.PICTURE: "bookPicture",
    JobKind.PAGE: "bookPage",
    JobKind.PROOF: "bookProof",
    JobKind.PRINT: "bookPrint",
    JobKind.ERASURE: "bookErasure",
}
REFERENCE_RECIPE = "bookReference"
FREE = "bookFree"
"""The name of the rate of jobs that cost nothing."""
PHOTO_ONLY, EVERYTHING = "photo", "all"
"""The editions of erasures."""
_BOOKS_AT_ONCE = 100
"""Books looked at in one round; the rest follows in the next."""
_JOBS_AT_ONCE = 100
"""Jobs of one submission."""
_RETRY_US = 10 * SECOND
"""Pause before a refused submission is tried again: nodes that were read, a refill of credits, a shorter
queue."""
_PHOTO_CHECK_US = 60 * SECOND

ModeChoice = Callable[[Facts, Illustration], Mapping[str, Any]]
"""Returns the fields of the `IdentityChoice` of an illustration with faces. Raises `NoIdentityMode`."""


@dataclass(frozen=True, slots=True)
class NextSteps:
    """The versions and jobs that follow from the facts of a book."""

    versions: Sequence[VersionFact] = ()
    jobs: Sequence[tuple[JobKind, int, int, str]] = ()
    """Kind, page, version and edition."""
    problem: str | None = None
    """Why something waits that is to be tried again."""


def new_version(
    facts: Facts,
    page: int,
    choice: Mapping[str, Any],
    *,
    now: int,
    cause: VersionCause,
    feedback: str = "",
    chosen_at: int | None = None,
    seed: int | None = None,
) -> VersionFact:
    """Return the next version of a page, with a seed that none of its versions has."""
    versions = facts.of_page(page)
    taken = {each.seed for each in versions}
    drawn = seed if seed is not None else random_below(MAX_SEED + 1)
    while drawn in taken:
        drawn = random_below(MAX_SEED + 1)
    number = max((each.version for each in versions), default=0) + 1
    mode = str(choice.get("mode", ""))
    return VersionFact(page, number, drawn, mode, choice, feedback, cause, chosen_at or now, now)


def missing_versions(facts: Facts, pages: Sequence[int], choose: ModeChoice, now: int) -> list[VersionFact]:
    """Return the first versions of those pages that have none."""
    return [
        new_version(facts, page, chosen_mode(facts, page, choose), now=now, cause=VersionCause.FIRST)
        for page in pages
        if not facts.of_page(page)
    ]


def chosen_mode(facts: Facts, page: int, choose: ModeChoice) -> Mapping[str, Any]:
    """Return the choice for a page, empty for one without a face. Raises `NoIdentityMode`."""
    sheet = facts.sheet(page)
    if sheet is None or isinstance(sheet, FillPage) or not facts.has_photo_face(page):
        return {}
    return choose(facts, sheet)


def next_steps(facts: Facts, rules: BookRules, choose: ModeChoice, now: int) -> NextSteps:
    """Return what is to be made next; nothing while everything is under way, failed for good, or waits for a
    client."""
    book = facts.book
    if book.deleted_at is not None:
        ended = book.erased_at is not None
        return NextSteps(jobs=() if ended else _erasure(facts, EVERYTHING))
    erasure = _erasure(facts, PHOTO_ONLY) if _photo_must_go(facts, rules, now) else ()
    if book.canceled_at is not None:
        return NextSteps(jobs=erasure)
    problem = None
    try:
        versions = _next_versions(facts, rules, choose, now)
    except (InvalidInput, Conflict) as refusal:
        versions, problem = [], str(refusal)
    whole = replace_versions(facts, [*facts.versions, *versions])
    jobs = [*_analyses(facts), *_pages(whole), *_documents(facts), *erasure]
    return NextSteps(versions, jobs, problem)


def replace_versions(facts: Facts, versions: Sequence[VersionFact]) -> Facts:
    """Return the same facts with other versions."""
    return Facts(
        facts.book,
        facts.manifest,
        facts.photos,
        facts.analyses,
        versions,
        facts.jobs,
        facts.files,
        facts.approvals,
    )


def _photo_must_go(facts: Facts, rules: BookRules, now: int) -> bool:
    if facts.book.photo_deleted_at is not None:
        return False
    is_approved = bool(facts.approvals) and rules.delete_photo_at_approval
    return is_approved or facts.book.canceled_at is not None or now >= facts.photo_until(rules)


def _erasure(facts: Facts, what: str) -> list[tuple[JobKind, int, int, str]]:
    """Return an erasure unless one is under way. A failed one is made again, as often as it takes."""
    made = [each for each in facts.jobs if each.kind is JobKind.ERASURE and each.edition == what]
    if any(each.is_open for each in made):
        return []
    return [(JobKind.ERASURE, 0, len(made), what)]


def _analyses(facts: Facts) -> list[tuple[JobKind, int, int, str]]:
    missing = [each for each in facts.photo_characters if each in facts.photos and each not in facts.analyses]
    steps: list[tuple[JobKind, int, int, str]] = []
    for at in map(facts.position, missing):
        tries = facts.analysis_tries(at)
        if len(tries) < ANALYSIS_TRIES and not any(each.is_open for each in tries):
            steps.append((JobKind.ANALYSIS, at, len(tries), ""))
    return steps


def _next_versions(facts: Facts, rules: BookRules, choose: ModeChoice, now: int) -> list[VersionFact]:
    if not facts.of_page(REFERENCE):
        needed = facts.photo_characters
        if facts.book.photo_deleted_at is not None and needed:
            return []
        if not all(each in facts.analyses and facts.analyses[each].usable for each in needed):
            return []
        return missing_versions(facts, [REFERENCE], choose, now)
    if facts.book.photo_deleted_at is not None:
        return []
    return [redrawn for page in facts.wanted if (redrawn := _redrawn(facts, page, rules, now)) is not None]


def _redrawn(facts: Facts, page: int, rules: BookRules, now: int) -> VersionFact | None:
    """Return the automatic redraw of a page whose versions of the latest round all have a low score."""
    latest = facts.latest_round(page)
    automatic = sum(each.cause is VersionCause.AUTOMATIC for each in latest)
    if not latest or automatic >= rules.automatic_redraws:
        return None
    states = [facts.version_state(each) for each in latest]
    if PageState.GENERATING in states or states[-1] is PageState.FAILED:
        return None
    if not all(facts.is_low(each, rules.identity_limit) for each in latest if facts.is_ready(each)):
        return None
    first = latest[0]
    if first.created_at != first.chosen_at:
        return None  # chosen by a client, who may like it as it is
    return new_version(
        facts,
        page,
        first.choice,
        now=now,
        cause=VersionCause.AUTOMATIC,
        feedback=first.feedback,
        chosen_at=first.chosen_at,
    )


def _pages(facts: Facts) -> list[tuple[JobKind, int, int, str]]:
    steps: list[tuple[JobKind, int, int, str]] = []
    for each in facts.versions:
        if facts.is_ready(each):
            continue
        at = (each.page, each.version, "")
        if facts.file(FileKind.PICTURE, *at) is None:
            if not facts.may_try(JobKind.PICTURE, *at):
                continue
            steps.append((JobKind.PICTURE, *at))
        if each.page != REFERENCE and facts.may_try(JobKind.PAGE, *at):
            steps.append((JobKind.PAGE, *at))
    return steps


def _documents(facts: Facts) -> list[tuple[JobKind, int, int, str]]:
    edition = facts.edition
    if edition is None:
        return []
    if facts.file(FileKind.PROOF, edition=edition) is None:
        is_next = facts.may_try(JobKind.PROOF, edition=edition)
        return [(JobKind.PROOF, 0, 0, edition)] if is_next else []
    approval = facts.approval
    if approval is None or facts.is_printed:
        return []
    at = (0, approval.number, edition)
    return [(JobKind.PRINT, *at)] if facts.may_try(JobKind.PRINT, *at) else []


class BookProgress:
    """Submits the next jobs of books. Safe to use by many threads and processes at once."""

    def __init__(
        self, store: BookStore, rules: BookRules, choose: ModeChoice, clock: Callable[[], int] = now_us
    ) -> None:
        self._store = store
        self._rules = rules
        self._choose = choose
        self._clock = clock
        self._next_photo_check = 0

    def advance(self, submitter: Submitter) -> None:
        """Submit what follows from ended jobs, and the deletion of photos whose time is over."""
        now = self._clock()
        pending = self._store.pending(now, _BOOKS_AT_ONCE)
        if now >= self._next_photo_check:
            self._next_photo_check = now + _PHOTO_CHECK_US
            oldest = now - round(self._rules.photo_days * 86_400 * SECOND)
            pending += self._store.with_old_photos(oldest, _BOOKS_AT_ONCE)
        for id_ in dict.fromkeys(pending):
            try:
                self.step(id_, submitter)
            except StorageError:
                raise
            except ImagemillError as refusal:
                log.warning("the next jobs of book %s were refused and are tried again: %s", id_, refusal)
            except Exception:
                log.exception("a bug held up book %s", id_)
                self._put_off(id_, "a bug in the server holds it up; its log has more")

    def step(self, id_: str, submitter: Submitter) -> None:
        """Write and submit the next jobs of one book. Raises what the submission is refused with; then it is
        tried again later."""
        has_jobs = False

        def next_(facts: Facts) -> BookChanges:
            nonlocal has_jobs
            changes = self._next(facts)
            has_jobs = bool(changes.jobs) or any(not each.submitted for each in facts.jobs)
            return changes

        self._store.decide(id_, None, next_)
        if not has_jobs:
            return
        try:
            self.submit(id_, submitter)
        except StorageError:
            raise
        except ImagemillError as refusal:
            self._put_off(id_, str(refusal))
            raise

    def submit(self, id_: str, submitter: Submitter) -> None:
        """Submit the jobs of a book that are written."""
        facts = self._store.facts(id_)
        ended = facts.book.canceled_at is not None or facts.book.deleted_at is not None
        jobs = [
            each for each in facts.jobs if not each.submitted and (not ended or each.kind is JobKind.ERASURE)
        ]
        for chunk in _chunks(jobs):
            drafts = self._drafts(facts, chunk, submitter)
            accepted = submitter.submit(facts.book.owner, drafts)
            others = set(accepted.duplicates.values()) - {each.id for each in chunk}
            if others:
                log.warning("book %s: %d jobs were made by others before", id_, len(others))
            self._store.mark_submitted([each.id for each in chunk])

    def _next(self, facts: Facts) -> BookChanges:
        now = self._clock()
        seen = [each.id for each in facts.jobs if each.submitted and not each.is_open and not each.seen]
        steps = next_steps(facts, self._rules, self._choose, now)
        due_at = now + _RETRY_US if steps.problem is not None else None
        return BookChanges(
            set={"due_at": due_at, "problem": steps.problem},
            versions=steps.versions,
            jobs=new_jobs(facts, steps, now),
            seen=seen,
        )

    def _put_off(self, id_: str, problem: str) -> None:
        due_at = self._clock() + _RETRY_US
        self._store.decide(id_, None, lambda _: BookChanges(set={"due_at": due_at, "problem": problem[:500]}))

    def _drafts(self, facts: Facts, jobs: Sequence[JobFact], submitter: Submitter) -> tuple[Draft, ...]:
        names = {(each.kind, each.page, each.version): each.id for each in jobs}
        requests = [_request(facts, each, names) for each in jobs]
        drafts = submitter.prepare(facts.book.owner, requests, dialect=NAME)
        return tuple(_priced(facts, job, draft) for job, draft in zip(jobs, drafts, strict=True))


def new_jobs(facts: Facts, steps: NextSteps, now: int) -> list[JobFact]:
    """Return the rows of the jobs of some steps, not submitted."""
    ids = draw_ids(len(steps.jobs), now)
    return [
        JobFact(
            id_, kind, page, version, edition, facts.book.resumes, submitted=False, seen=False, created_at=now
        )
        for id_, (kind, page, version, edition) in zip(ids, steps.jobs, strict=True)
    ]


def _request(facts: Facts, job: JobFact, names: dict[tuple[JobKind, int, int], str]) -> JobRequest:
    recipe = REFERENCE_RECIPE if is_reference(job) else RECIPES[job.kind]
    version = facts.version(job.page, job.version)
    choice = version.choice if version is not None and job.kind is JobKind.PICTURE else {}
    given = {"page": job.page, "version": job.version, "edition": job.edition, "choice": choice}
    picture = names.get((JobKind.PICTURE, job.page, job.version)) if job.kind is JobKind.PAGE else None
    return JobRequest(
        recipe,
        {"personalization": facts.book.id, **{name: value for name, value in given.items() if value}},
        id=job.id,
        name=job.id,
        after=(picture,) if picture is not None else (),
        client={"kind": job.kind.value},
        callback_url=facts.book.callback_url,
        rate="" if _is_charged(facts, job) else FREE,
        unique_key=f"{NAME}/{facts.book.id}/{job.id}",
        private=True,
    )


def is_reference(job: JobFact) -> bool:
    return job.kind is JobKind.PICTURE and job.page == REFERENCE


def _is_charged(facts: Facts, job: JobFact) -> bool:
    """Whether a job costs credits: the first version of each page of the story, and the first print files."""
    if job.kind is JobKind.PRINT:
        return job.version == 1
    if job.kind is not JobKind.PICTURE or not REFERENCE < job.page < FRONT_COVER:
        return False
    version = facts.version(job.page, job.version)
    return version is not None and version.cause is VersionCause.FIRST


def _priced(facts: Facts, job: JobFact, draft: Draft) -> Draft:
    """Return the draft with the price that the book's manifest names, where it names one."""
    price = facts.manifest.price
    own = price.book if job.kind is JobKind.PRINT else price.page
    return replace(draft, cost=float(own)) if own is not None and _is_charged(facts, job) else draft


def _chunks(jobs: Sequence[JobFact]) -> list[list[JobFact]]:
    """Return the jobs in submissions; those of one version stay together, as one waits for the other."""
    chunks: list[list[JobFact]] = []
    for job in jobs:
        last = chunks[-1][-1] if chunks else None
        belongs = last is not None and (last.page, last.version) == (job.page, job.version)
        if last is None or (len(chunks[-1]) >= _JOBS_AT_ONCE and not belongs):
            chunks.append([])
        chunks[-1].append(job)
    return chunks
