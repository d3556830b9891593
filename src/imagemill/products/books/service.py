"""Personalised books: what clients may ask of one.

A request is one decision over the facts, made under a lock of the book, and the submission of what follows.
"""

import hashlib
import logging
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from imagemill.blobs.base import BlobStore
from imagemill.domain.clock import SECOND, now_us, random_bytes, uuid7
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import (
    FieldError,
    ImagemillError,
    InvalidInput,
    NotFound,
    StorageError,
    UnusablePicture,
)
from imagemill.jobs.store.finish import Cancel
from imagemill.jobs.submit import Submitter
from imagemill.media.intake import SanitizedImage
from imagemill.media.pictures import EXTENSIONS
from imagemill.products.books.book_catalogue import BookCatalogue
from imagemill.products.books.book_manifest import BookManifest
from imagemill.products.books.book_states import REFERENCE, BookAction, BookState, IllegalMove, PageState
from imagemill.products.books.book_views import (
    ApprovalView,
    BookFile,
    BookFiles,
    BookFilter,
    BoundBook,
    ChildDetails,
    NewBook,
    PersonalizationSummary,
    PersonalizationView,
    delivered_files,
    personalization,
    summary,
)
from imagemill.products.books.composition import BookComposer
from imagemill.products.books.facts import (
    ApprovalFact,
    BookRow,
    BookRules,
    Facts,
    FileKind,
    JobKind,
    PhotoFact,
    VersionCause,
    VersionFact,
    full_pages,
    page_title,
    preview_pages,
)
from imagemill.products.books.progress import (
    BookProgress,
    ModeChoice,
    chosen_mode,
    missing_versions,
    new_version,
)
from imagemill.products.books.recipes import book_folder
from imagemill.products.books.settings import BookSettings
from imagemill.products.books.store import BookChanges, BookStore, Decision, NewPersonalization, Withdrawal
from imagemill.products.books.texts import MOST_AGE, MOST_FEEDBACK, Gender, clean_name

log = logging.getLogger(__name__)

DAY = 86_400 * SECOND
MOST_ERRORS = 5
"""Errors of preflight that a refusal cites."""
_SENTENCE_ENDS = re.compile(r"[.!?…]\s+\S")


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """The parts of a process that the service works with."""

    store: BookStore
    catalogue: BookCatalogue
    composer: BookComposer
    progress: BookProgress
    submitter: Submitter
    blobs: BlobStore
    rules: BookRules
    choose: ModeChoice
    sanitize: Callable[[str, bytes], SanitizedImage]
    """Return a picture upright and without metadata. Raises `InvalidInput` at the path."""
    check_text: Callable[[str, str], None]
    """Check a wish of an owner. Raises `ContentBlocked`."""
    cancel_job: Callable[[Cancel], object]
    profile: str | None = None
    """The print profile of the settings."""
    clock: Callable[[], int] = now_us


class BookService:
    """Every method takes the owner and raises `NotFound` for another one's book. `IllegalMove` names the
    state and what is allowed; a refused request changes nothing."""

    def __init__(self, parts: "ServiceParts") -> None:
        self._parts = parts
        self._store, self._rules, self._composer = parts.store, parts.rules, parts.composer

    # Reads

    def get(self, owner: str, id_: str) -> PersonalizationView:
        return self._shown(self._store.facts(id_, owner))

    def owner_of(self, id_: str) -> str:
        """Return the owner of a book, for requests by a signed link. Raises `NotFound`."""
        return self._store.facts(id_).book.owner

    def shown_to_readers(self, id_: str) -> PersonalizationView:
        """Return a book, whoever owns it, for a request by its shared link, which the caller checks.

        Raises `NotFound`.
        """
        return self._shown(self._store.facts(id_))

    def list(self, wanted: BookFilter) -> Sequence[PersonalizationSummary]:
        found = self._store.page(wanted.owner, wanted.slug, wanted.before, wanted.limit)
        return [summary(facts) for facts in found]

    def files(self, owner: str, id_: str) -> BookFiles:
        """Return the files. Those for print are None until the book is complete; see `file`."""
        return delivered_files(self._store.facts(id_, owner))

    def file(self, owner: str, id_: str, kind: str) -> BookFile:
        """Return the file ``block``, ``cover``, ``spreads`` or ``proof``. Raises `IllegalMove` until it is
        complete."""
        facts = self._store.facts(id_, owner)
        found: BookFile | None = getattr(delivered_files(facts), FileKind(kind).value)
        if found is None:
            allowed = facts.allowed(self._rules, self._parts.clock())
            message = f"the book has no file {kind} while it is {facts.state.value}"
            raise IllegalMove(message, facts.state, allowed)
        return found

    def approval(self, owner: str, id_: str) -> ApprovalView:
        """Return the latest approval record. Raises `NotFound` where nothing was approved."""
        facts = self._store.facts(id_, owner)
        until = facts.change_until(self._rules)
        if until is None:
            raise NotFound(f"the personalization {id_} was not approved")
        last = facts.approvals[-1]
        return ApprovalView(last.number, last.at, last.who, last.profile, last.edition, last.pages, until)

    # The beginning

    def create(self, owner: str, request: NewBook, *, trace: str | None = None) -> PersonalizationView:
        """Store the photos and start the analysis.

        Raises `InvalidInput` at ``photo.<characterId>``, ``profile`` or ``consent``; `NotFound` for the slug.
        """
        del trace
        book = self._parts.catalogue.get(request.slug)
        who = checked_line("consent.who", request.consent.who, 200)
        profile = self._profile(request, book.manifest)
        taken = self._taken_photos(book.manifest, request.photos)
        now = self._parts.clock()
        id_ = uuid7(now)
        photos = [self._kept_photo(owner, id_, character, photo) for character, photo in taken.items()]
        row = BookRow(
            id=id_,
            owner=owner,
            slug=book.slug,
            manifest=book.digest,
            profile=profile,
            callback_url=request.callback_url,
            consent_who=who,
            consent_at=request.consent.when,
            created_at=now,
            due_at=now,
            photo_deleted_at=None if photos else now,
        )
        self._store.create(NewPersonalization(row, book.manifest, photos))
        try:
            self._parts.progress.step(id_, self._parts.submitter)
        except StorageError:
            raise
        except ImagemillError:
            # Refused, such as by a quota: the photo goes at once.
            self._store.remove(id_)
            self._parts.blobs.delete([photo.key for photo in photos])
            raise
        return self.get(owner, id_)

    def _profile(self, request: NewBook, manifest: BookManifest) -> str:
        slug = request.profile or self._parts.profile or manifest.profile
        try:
            return self._composer.profile(slug).slug
        except NotFound as error:
            raise InvalidInput.at("profile", str(error)) from error

    def _taken_photos(
        self, manifest: BookManifest, photos: Mapping[str, bytes]
    ) -> Mapping[str, SanitizedImage]:
        """Return the photos upright and without metadata. Raises `InvalidInput` with each fault."""
        needed = [each.id for each in manifest.characters if each.needs_photo]
        errors = [FieldError(f"photo.{each}", "is required") for each in needed if each not in photos]
        errors += [
            FieldError(f"photo.{each}", f"is not needed; the book takes photos of {', '.join(needed)}")
            for each in photos
            if each not in needed
        ]
        if errors:
            raise InvalidInput(errors)
        most = BookSettings.photo_bytes
        for character, data in photos.items():
            if len(data) > most:
                message = f"has {len(data)} bytes; at most {most} are accepted, so send a smaller copy"
                raise UnusablePicture.at(f"photo.{character}", message)
        return {each: self._parts.sanitize(f"photo.{each}", photos[each]) for each in needed}

    def _kept_photo(self, owner: str, id_: str, character: str, photo: SanitizedImage) -> PhotoFact:
        """Write a photo under a key of this book, apart from the owner's shared input pictures."""
        extension = EXTENSIONS[photo.info.media_type]
        key = f"{book_folder(owner, id_)}photo-{character}-{random_bytes(8).hex()}.{extension}"
        self._parts.blobs.put(key, photo.data, photo.info.media_type)
        digest = hashlib.sha256(photo.data).hexdigest()
        return PhotoFact(character, key, digest, photo.info.media_type, len(photo.data))

    # The reference

    def redraw_reference(self, owner: str, id_: str, feedback: str = "") -> PersonalizationView:
        """Draw another reference sheet. Raises `InvalidInput` at ``feedback`` and `IllegalMove`."""
        wish = self._checked_feedback(owner, feedback)

        def decide(facts: Facts) -> BookChanges:
            self._check(facts, BookAction.REDRAW_REFERENCE)
            return BookChanges(versions=[self._redrawn(facts, REFERENCE, wish)])

        return self._change(owner, id_, decide)

    def approve_reference(self, owner: str, id_: str, version: int | None = None) -> PersonalizationView:
        """Approve a version of the reference sheet; None means the current one."""

        def decide(facts: Facts) -> BookChanges:
            known, ended = facts.book.reference_version, facts.book.canceled_at or facts.book.deleted_at
            if known is not None and version in (None, known) and not ended:
                return BookChanges()
            self._check(facts, BookAction.APPROVE_REFERENCE)
            current = facts.current(REFERENCE)
            chosen = current if version is None else _ready_version(facts, REFERENCE, version)
            number = chosen.version if chosen is not None else None
            return BookChanges(
                set={"reference_version": number, "reference_approved_at": self._parts.clock()}
            )

        return self._change(owner, id_, decide)

    # The pages

    def generate(self, owner: str, id_: str, child: ChildDetails) -> PersonalizationView:
        """Make the preview pages, or those that are missing.

        Raises `InvalidInput` at ``childName``, ``childAge``, ``childGender`` or ``language``.
        """

        def decide(facts: Facts) -> BookChanges:
            wanted = checked_child(child, facts.manifest)
            book = facts.book
            if book.generated_at is not None and book.unlocked_at is None:
                if facts.state is BookState.CANCELED or any(
                    getattr(book, name) != value for name, value in wanted.items()
                ):
                    allowed = facts.allowed(self._rules, self._parts.clock())
                    message = "the pages are being made with other details; begin another book for these"
                    raise IllegalMove(message, facts.state, allowed - {BookAction.GENERATE})
                return self._resumed(facts)
            self._check(facts, BookAction.GENERATE)
            now = self._parts.clock()
            pages = preview_pages(facts.manifest)
            versions = missing_versions(facts, pages, self._parts.choose, now)
            return BookChanges(set={**wanted, "generated_at": now}, versions=versions)

        return self._change(owner, id_, decide)

    def redraw_page(self, owner: str, id_: str, page: int, feedback: str = "") -> PersonalizationView:
        """Draw another version of a page. Raises `NotFound` for a page that is not made."""
        wish = self._checked_feedback(owner, feedback)

        def decide(facts: Facts) -> BookChanges:
            self._check(facts, BookAction.REDRAW_PAGE)
            _check_made(facts, page)
            return BookChanges(versions=[self._redrawn(facts, page, wish)])

        return self._change(owner, id_, decide)

    def choose_version(self, owner: str, id_: str, page: int, version: int) -> PersonalizationView:
        """Take an earlier version of a page."""

        def decide(facts: Facts) -> BookChanges:
            self._check(facts, BookAction.CHOOSE_VERSION)
            _check_made(facts, page)
            chosen = _ready_version(facts, page, version)
            current = facts.current(page)
            if current is not None and current.version == version:
                return BookChanges()
            return BookChanges(chosen={(page, chosen.version): self._parts.clock()})

        return self._change(owner, id_, decide)

    def _redrawn(self, facts: Facts, page: int, feedback: str) -> VersionFact:
        """Return the next version of a page for a request. Raises `IllegalMove`."""
        now = self._parts.clock()
        title, problem = page_title(page), ""
        if not facts.has_photo_face(page):
            problem = f"the {title} has no face of the child, so a redraw would give the same picture"
        elif facts.page_state(page) is PageState.GENERATING:
            problem = f"the {title} is being drawn; ask again when it is ready"
        elif facts.redraws(page) >= self._rules.redraws:
            problem = f"the {title} was redrawn {self._rules.redraws} times; choose one of its versions"
        elif facts.book.photo_deleted_at is not None:
            problem = f"the photo is deleted, so the {title} cannot be redrawn; choose one of its versions"
        if problem:
            raise IllegalMove(problem, facts.state, facts.allowed(self._rules, now))
        choice = chosen_mode(facts, page, self._parts.choose)
        cause = VersionCause.REDRAW
        return new_version(facts, page, choice, now=now, cause=cause, feedback=feedback)

    def _checked_feedback(self, owner: str, feedback: str) -> str:
        """Return the wish as one clean sentence. Raises `InvalidInput` and `ContentBlocked`."""
        if not feedback.strip():
            return ""
        line = checked_line("feedback", feedback, MOST_FEEDBACK)
        if len(_SENTENCE_ENDS.findall(line.rstrip(".!?… "))) > 0:
            raise InvalidInput.at("feedback", "has several sentences; write one")
        self._parts.check_text(owner, line)
        return line

    # The whole book

    def unlock(self, owner: str, id_: str, *, by: str = "") -> PersonalizationView:
        """Make all pages, or those that are missing. Idempotent. ``by``: who has unlocked it."""

        def decide(facts: Facts) -> BookChanges:
            if facts.book.unlocked_at is not None and facts.state is not BookState.CANCELED:
                return self._resumed(facts)
            self._check(facts, BookAction.UNLOCK)
            now = self._parts.clock()
            versions = missing_versions(facts, full_pages(facts.manifest), self._parts.choose, now)
            changed = {"unlocked_at": now, "unlocked_by": by[:64] or None, **self._next_round(facts)}
            return BookChanges(set=changed, versions=versions)

        return self._change(owner, id_, decide)

    def approve(self, owner: str, id_: str, who: str) -> PersonalizationView:
        """Write the approval record and make the print files. Idempotent while nothing changes."""
        name = checked_line("who", who, 200)

        def decide(facts: Facts) -> BookChanges:
            if facts.approval is not None and facts.state is not BookState.CANCELED:
                return self._resumed(facts)
            self._check(facts, BookAction.APPROVE)
            edition = facts.edition
            assert edition is not None  # noqa: S101 - a proof is ready
            if errors := self._composer.errors(facts):
                allowed = facts.allowed(self._rules, self._parts.clock()) - {BookAction.APPROVE}
                message = f"the book cannot be printed yet: {'; '.join(errors[:MOST_ERRORS])}"
                raise IllegalMove(message, facts.state, allowed)
            pages = self._composer.approved_pages(facts)
            at, number = self._parts.clock(), len(facts.approvals) + 1
            return BookChanges(approval=ApprovalFact(number, edition, at, name, facts.book.profile, pages))

        return self._change(owner, id_, decide)

    def cancel(self, owner: str, id_: str) -> PersonalizationView:
        """Cancel a book with its open jobs, and delete its photo."""

        def decide(facts: Facts) -> BookChanges:
            if facts.book.canceled_at is not None and facts.book.deleted_at is None:
                return BookChanges()
            self._check(facts, BookAction.CANCEL)
            return BookChanges(set={"canceled_at": self._parts.clock()})

        self._store.decide(id_, owner, decide)
        for job in self._store.facts(id_, owner).jobs:
            if job.submitted and job.is_open and job.kind is not JobKind.ERASURE:
                self._parts.cancel_job(Cancel(job.id, owner, self._parts.clock()))
        self._follow(id_)
        return self.get(owner, id_)

    def erase(self, owner: str, id_: str) -> PersonalizationView:
        """Delete everything that was made from the photo; idempotent. Return the tombstone."""

        def decide(facts: Facts) -> BookChanges:
            if facts.book.deleted_at is not None:
                return BookChanges()
            return BookChanges(set={"deleted_at": self._parts.clock()})

        self._store.decide(id_, owner, decide)
        self._follow(id_)
        return self.get(owner, id_)

    # Readers

    def share(self, owner: str, id_: str, days: int) -> PersonalizationView:
        """Make the link by which others may read the book; an earlier one ends."""

        def decide(facts: Facts) -> BookChanges:
            self._check(facts, BookAction.SHARE)
            until = self._parts.clock() + days * DAY
            return BookChanges(set={"share_key": random_bytes(16).hex(), "share_until": until})

        self._store.decide(id_, owner, decide)
        return self.get(owner, id_)

    def unshare(self, owner: str, id_: str) -> PersonalizationView:
        """End the link by which others may read the book; idempotent."""
        emptied = BookChanges(set={"share_key": None, "share_until": None})
        self._store.decide(id_, owner, lambda _: emptied)
        return self.get(owner, id_)

    # Changes

    def _follow(self, id_: str) -> None:
        """Submit what follows; what is refused now, such as by a full queue, is submitted later."""
        try:
            self._parts.progress.step(id_, self._parts.submitter)
        except StorageError:
            raise
        except ImagemillError as refusal:
            log.warning("the jobs that follow for book %s are submitted later: %s", id_, refusal)

    def _change(self, owner: str, id_: str, decide: Decision) -> PersonalizationView:
        """Decide and submit what follows. A request whose jobs are refused is taken back."""
        former: list[BookRow] = []

        def remembered(facts: Facts) -> BookChanges:
            former[:] = [facts.book]
            return decide(facts)

        changes = self._store.decide(id_, owner, remembered)
        if not (changes.set or changes.versions or changes.approval):
            self._follow(id_)
            return self.get(owner, id_)
        try:
            self._parts.progress.step(id_, self._parts.submitter)
        except StorageError:
            raise
        except ImagemillError:
            self._take_back(former[0], changes)
            raise
        return self.get(owner, id_)

    def _take_back(self, former: BookRow, changes: BookChanges) -> None:
        facts = self._store.facts(former.id)
        added = {(each.page, each.version) for each in changes.versions}
        mine = [each for each in facts.jobs if not each.submitted or (each.page, each.version) in added]
        values = {name: getattr(former, name) for name in changes.set}
        versions = sorted(added)
        self._store.withdraw(
            Withdrawal(
                former.id,
                [each.id for each in mine],
                {**values, "problem": former.problem, "due_at": former.due_at},
                versions,
                changes.approval.number if changes.approval is not None else None,
            )
        )

    def _resumed(self, facts: Facts) -> BookChanges:
        """Return the changes that make failed parts again."""
        return BookChanges(set=self._next_round(facts))

    def _next_round(self, facts: Facts) -> Mapping[str, Any]:
        failed = any(True for _ in facts.failures)
        return {"resumes": facts.book.resumes + 1} if failed else {}

    def _check(self, facts: Facts, action: BookAction) -> None:
        facts.check(action, self._rules, self._parts.clock())

    def _shown(self, facts: Facts) -> PersonalizationView:
        details = {
            character: self._composer.details(facts, character)
            for character in facts.analyses
            if facts.book.deleted_at is None
        }
        return personalization(facts, self._rules, self._parts.clock(), details, self._bound(facts))

    def _bound(self, facts: Facts) -> BoundBook | None:
        if facts.book.deleted_at is not None:
            return None
        try:
            return self._composer.bound(facts)
        except (NotFound, InvalidInput):
            return None  # the profile was removed or damaged; the book stays readable


def _check_made(facts: Facts, page: int) -> None:
    if page not in facts.wanted:
        raise NotFound(f"the book has no {page_title(page)} yet")


def _ready_version(facts: Facts, page: int, version: int) -> VersionFact:
    found = facts.version(page, version)
    if found is None or not facts.is_ready(found):
        raise NotFound(f"the {page_title(page)} has no finished version {version}")
    return found


def checked_line(path: str, text: str, most: int) -> str:
    """Return one line of text, trimmed. Raises `InvalidInput`."""
    line = unicodedata.normalize("NFC", text).strip()
    if not line:
        raise InvalidInput.at(path, "is empty")
    if len(line) > most:
        raise InvalidInput.at(path, f"has {len(line)} characters; at most {most} are accepted")
    if any(unicodedata.category(each)[0] == "C" for each in line):
        raise InvalidInput.at(path, "contains a line break or a control character; write one line")
    return line


def checked_child(child: ChildDetails, manifest: BookManifest) -> Mapping[str, Any]:
    """Return the columns of a child's details. Raises `InvalidInput` with each fault."""
    errors: list[FieldError] = []
    name = child.name
    try:
        name = clean_name(child.name)
    except ValueError as error:
        errors.append(FieldError("childName", str(error)))
    if not 0 <= child.age <= MOST_AGE:
        errors.append(FieldError("childAge", f"is {child.age}; it is from 0 to {MOST_AGE}"))
    if child.gender not in tuple(Gender):
        errors.append(FieldError("childGender", f"is one of {', '.join(Gender)}"))
    if child.language not in manifest.languages:
        known = ", ".join(manifest.languages)
        errors.append(FieldError("language", f"is {child.language[:20]!r}; the book is written in {known}"))
    if errors:
        raise InvalidInput(errors)
    return {
        "child_name": name,
        "child_age": child.age,
        "child_gender": child.gender,
        "language": child.language,
    }
