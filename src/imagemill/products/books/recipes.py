"""The recipes of books. Their inputs name a book, page and version; all else is read by the worker.

So nothing about a child stands in a job's input, and none can be made that its book does not ask for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints

from imagemill.blobs.base import BlobStore
from imagemill.db.statements import dump
from imagemill.domain.blob_keys import owner_folder
from imagemill.domain.clock import now_us
from imagemill.domain.credits import Rate
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError, NotFound
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import PageSpec
from imagemill.domain.moderation import PromptTexts
from imagemill.jobs.erasure import erase_jobs
from imagemill.jobs.store.store import JobStore
from imagemill.jobs.submit import Submitter
from imagemill.media.layout import InvalidImage
from imagemill.media.page_work import PageFile, PageResult, PageWork
from imagemill.media.transforms import ImageTransform, OutputFile, TransformContext
from imagemill.products.books.book_manifest import TransferMode
from imagemill.products.books.book_states import REFERENCE
from imagemill.products.books.composition import BookComposer
from imagemill.products.books.facts import Facts, FileKind, JobKind, VersionFact
from imagemill.products.books.identity.base import IdentityChoice, PicturePlan, PictureRequest
from imagemill.products.books.identity.describe import FaceDescriber
from imagemill.products.books.identity.modes import LocalMode, open_mode
from imagemill.products.books.progress import EVERYTHING, FREE, RECIPES, REFERENCE_RECIPE
from imagemill.products.books.records import AnalysisEntry, ErasureEntry, FilesEntry
from imagemill.products.books.settings import BookSettings
from imagemill.products.books.store import BookStore, EraseRows
from imagemill.recipes.base import Plan, PrepareContext, Prepared, Recipe, ResourceResolver

_PAGE_RATE = Rate(base=1.0)
"""Credits of a page's picture, where the manifest names no price."""
_FREE_RATE = Rate()
_MEGAPIXELS = 6.5
"""Millions of pixels of a page at print size, for the fair order."""


_NO_TEXTS = PromptTexts("")


RunTransform = Callable[[ImageTransform, bytes, TransformContext], Sequence[OutputFile]]


@dataclass(frozen=True, slots=True)
class ReadyWork:
    """The plan and the texts that a worker has prepared for a job."""

    plan: Plan
    texts: PromptTexts = _NO_TEXTS


class BookJobInput(BaseModel):
    """The book of a job, and what is made for it."""

    model_config = ConfigDict(extra="forbid")

    personalization: Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{36}$")] = Field(
        description="`id` of the personalization."
    )
    page: int = Field(default=0, ge=0, le=9999, description="Number of the page.")
    version: int = Field(default=0, ge=0, le=100_000, description="Number of the version.")
    edition: str = Field(default="", max_length=64, description="Digest of the book's pictures.")
    choice: dict[str, Any] = Field(default={}, description="How the face gets onto the page.")
    _ready: ReadyWork | None = PrivateAttr(default=None)


Make = Callable[[Facts, BookJobInput], ReadyWork]


@dataclass(frozen=True, slots=True)
class Nothing:
    """Make no file: the work was done while the job was prepared. Values are what is reported of it."""

    values: Mapping[str, int]

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        del inputs
        return PageResult(values=self.values)


@dataclass(frozen=True, slots=True)
class AnalyseCharacter:
    """Analyse the input ``photo``.

    File 0 is the details as JSON, file 1 the crop of the face, where there is one. Values tell whether the
    photo can be used, and nothing about the child.
    """

    described: Mapping[str, Any]

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        from imagemill.products.books.identity.photo import AnalysePhoto

        found = AnalysePhoto()(inputs)
        told = {name: found.values[name] for name in ("usable", "problem", "message") if name in found.values}
        details = {name: value for name, value in found.values.items() if name not in told}
        text = dump({**details, **({"description": dict(self.described)} if self.described else {})})
        return PageResult((PageFile(text.encode(), "application/json"), *found.files), told)


def _pending(inputs: Mapping[str, bytes]) -> PageResult:
    """Stand for the work of a job that is not prepared; it is never run."""
    raise AssertionError(f"the job was not prepared, with {len(inputs)} inputs")


class BookRecipes:
    """The recipes, with what their workers read."""

    def __init__(
        self,
        store: BookStore,
        jobs: JobStore,
        blobs: BlobStore,
        composer: BookComposer,
        settings: BookSettings,
        describer: FaceDescriber,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._blobs = blobs
        self._composer = composer
        self._settings = settings
        self._describer = describer

    def all(self) -> tuple[Recipe, ...]:
        return (
            self._recipe(JobKind.ANALYSIS, self._analysis, "The face of a photo, for a picture book."),
            replace(
                self._recipe(JobKind.PICTURE, self._picture, "The reference sheet of a picture book."),
                name=REFERENCE_RECIPE,
                plan=partial(self._picture_plan, REFERENCE_RECIPE),
                rate=_FREE_RATE,
            ),
            self._recipe(JobKind.PICTURE, self._picture, "The picture of a page of a picture book."),
            self._recipe(JobKind.PAGE, self._page, "A page of a picture book with its text."),
            self._recipe(JobKind.PROOF, self._proof, "The proof sheet of a picture book."),
            self._recipe(JobKind.PRINT, self._print, "The print files of a picture book."),
            self._recipe(JobKind.ERASURE, self._erasure, "The deletion of a photo, or of a whole book."),
        )

    def _recipe(self, kind: JobKind, make: Make, summary: str) -> Recipe:
        name = RECIPES[kind]
        is_picture = kind is JobKind.PICTURE
        return Recipe(
            name=name,
            input=BookJobInput,
            complete=_complete,
            plan=partial(self._picture_plan if is_picture else _plan, name),
            model=_model,
            rate=_PAGE_RATE if is_picture else _FREE_RATE,
            rates={FREE: _FREE_RATE},
            queue="gpu" if is_picture else "render",
            get_texts=_texts,
            prepare=partial(self._prepare, kind, make),
            prompt_field="feedback",
            summary=summary,
        )

    def _prepare(self, kind: JobKind, make: Make, input_: BookJobInput, context: PrepareContext) -> Prepared:
        """Read the book and plan the job. Raises `BackendError` for what the book does not ask for."""
        try:
            facts = self._store.facts(input_.personalization, context.owner)
        except NotFound as error:
            raise BackendError(FailureCode.BAD_INPUT, str(error)) from error
        if facts.job(kind, input_.page, input_.version, input_.edition) is None:
            raise BackendError(FailureCode.BAD_INPUT, "the book does not ask for this job")
        if kind is not JobKind.ERASURE and facts.book.deleted_at is not None:
            raise BackendError(FailureCode.BAD_INPUT, "the book was deleted")
        ready = input_.model_copy()
        ready._ready = make(facts, input_)
        return Prepared(ready)

    # Pictures

    def _picture_plan(self, name: str, input_: BookJobInput) -> Plan:
        ready = input_._ready
        if ready is not None:
            return ready.plan
        if not input_.choice:
            return _outline(name)
        mode = open_mode(choice_of(input_.choice), self._settings)
        outline = mode.outline(_OUTLINE_SIZE)
        return Plan(work=outline.work, outputs=1, leaves_nothing=self._leaves_nothing)

    @property
    def _leaves_nothing(self) -> bool:
        return not self._settings.allow_kept_photos

    def _picture(self, facts: Facts, input_: BookJobInput) -> ReadyWork:
        version = _version(facts, input_)
        request = self._composer.picture(facts, version)
        planned = self._planned(version, request)
        entry = FilesEntry(facts.book.id, (FileKind.PICTURE,), version.page, version.version)
        title = "reference" if version.page == REFERENCE else f"page-{version.page}"
        plan = Plan(
            work=planned.work,
            outputs=1,
            data=planned.data,
            transform=planned.transform,
            size=None if planned.transform is not None else request.size,
            file_keys=(_key(facts, f"{title}-{version.version}.jpeg"),),
            leaves_nothing=self._leaves_nothing,
            record=entry,
        )
        people = ", ".join(request.people.values())
        texts = PromptTexts(_joined(request.prompt, people, request.feedback), request.negative_prompt)
        return ReadyWork(plan, texts)

    def _planned(self, version: VersionFact, request: PictureRequest) -> PicturePlan:
        if not version.choice:
            return LocalMode().plan(request)
        return open_mode(choice_of(version.choice), self._settings).plan(request)

    # Pages and documents

    def _analysis(self, facts: Facts, input_: BookJobInput) -> ReadyWork:
        character = facts.manifest.characters[input_.page].id
        photo = self._composer.photo(facts, character)
        described = self._describer.describe(photo, consented=facts.book.consent_at is not None)
        words = described.model_dump(exclude_defaults=True) if described is not None else {}
        names = (f"details-{character}.json", f"face-{character}.jpeg")
        plan = Plan(
            work=_spec(JobKind.ANALYSIS, AnalyseCharacter(words)),
            outputs=1,
            data={"photo": photo},
            file_keys=tuple(_key(facts, name) for name in names),
            record=AnalysisEntry(facts.book.id, character, input_.page),
        )
        return ReadyWork(plan)

    def _page(self, facts: Facts, input_: BookJobInput) -> ReadyWork:
        version = _version(facts, input_)
        composed = self._composer.page(facts, version)
        plan = Plan(
            work=_spec(JobKind.PAGE, composed.work),
            outputs=1,
            data=composed.data,
            file_keys=(_key(facts, f"preview-{version.page}-{version.version}.jpeg"),),
            record=FilesEntry(facts.book.id, (FileKind.PREVIEW,), version.page, version.version),
        )
        return ReadyWork(plan)

    def _proof(self, facts: Facts, input_: BookJobInput) -> ReadyWork:
        if facts.edition != input_.edition:
            raise BackendError(FailureCode.BAD_INPUT, "a page has changed; the proof of the new one follows")
        today = datetime.fromtimestamp(now_us() / 1e6, UTC).date().isoformat()
        composed = self._composer.proof(facts, today)
        plan = Plan(
            work=_spec(JobKind.PROOF, composed.work, pages=len(facts.wanted)),
            outputs=1,
            data=composed.data,
            file_keys=(_key(facts, "proof.pdf"),),
            record=FilesEntry(facts.book.id, (FileKind.PROOF,), edition=input_.edition),
        )
        return ReadyWork(plan)

    def _print(self, facts: Facts, input_: BookJobInput) -> ReadyWork:
        approval = next((each for each in facts.approvals if each.number == input_.version), None)
        if approval is None:
            raise BackendError(FailureCode.BAD_INPUT, "the book was not approved")
        composed = self._composer.print_files(facts, approval)
        names = (FileKind.BLOCK, FileKind.COVER, FileKind.SPREADS)
        plan = Plan(
            work=_spec(JobKind.PRINT, composed.work, pages=len(approval.pages)),
            outputs=len(names),
            data=composed.data,
            file_keys=tuple(_key(facts, f"{name.value}-{approval.number}.pdf") for name in names),
            record=FilesEntry(facts.book.id, names, version=approval.number),
        )
        return ReadyWork(plan)

    # Deletion

    def _erasure(self, facts: Facts, input_: BookJobInput) -> ReadyWork:
        """Delete rows, jobs and files, in this order; killed in between, it is repeated."""
        photo_only = input_.edition != EVERYTHING
        book, owner = facts.book, facts.book.owner
        erased = self._store.erase_rows(EraseRows(book.id, photo_only, now_us()))
        files = erase_jobs(self._jobs, self._blobs, owner, list(erased.jobs), list(erased.keys))
        if not photo_only:
            left = [blob.key for blob in self._blobs.list(book_folder(owner, book.id))]
            self._blobs.delete(left)
            files += len(left)
        self._store.forget_jobs(erased.jobs)
        work = Nothing({"files": files, "jobs": len(erased.jobs)})
        plan = Plan(work=_spec(JobKind.ERASURE, work), outputs=0, record=ErasureEntry(book.id, photo_only))
        return ReadyWork(plan)


_OUTLINE_SIZE = (2551, 2551)


def book_folder(owner: str, id_: str) -> str:
    """Return the prefix of the keys of a book's files."""
    return f"books/{owner_folder(owner)}/{id_}/"


def _key(facts: Facts, name: str) -> str:
    """Return a file's key; the time of the attempt keeps two attempts apart."""
    return f"{book_folder(facts.book.owner, facts.book.id)}{{ms}}-{name}"


def _complete(input_: BookJobInput, resolver: ResourceResolver, path: str) -> BookJobInput:
    del resolver, path
    return input_


def _plan(name: str, input_: BookJobInput) -> Plan:
    ready = input_._ready
    return ready.plan if ready is not None else _outline(name)


def _outline(name: str) -> Plan:
    return Plan(work=PageSpec(name, _pending, _MEGAPIXELS), outputs=0)


def _texts(input_: BookJobInput) -> PromptTexts:
    ready = input_._ready
    return ready.texts if ready is not None else _NO_TEXTS


def _model(input_: BookJobInput) -> str:
    return str(input_.choice.get("model", "")).lower()


def choice_of(fields: Mapping[str, Any]) -> IdentityChoice:
    """Return the choice of its stored fields."""
    loras = tuple((str(file), float(strength)) for file, strength in fields.get("loras", ()))
    return IdentityChoice(**{**fields, "mode": TransferMode(fields["mode"]), "loras": loras})


def _spec(kind: JobKind, work: PageWork, pages: int = 1) -> PageSpec:
    return PageSpec(RECIPES[kind], work, _MEGAPIXELS, pages)


def _version(facts: Facts, input_: BookJobInput) -> VersionFact:
    version = facts.version(input_.page, input_.version)
    if version is None:
        raise BackendError(FailureCode.BAD_INPUT, f"page {input_.page} has no version {input_.version}")
    return version


def _joined(*words: str) -> str:
    return ", ".join(each for each in words if each)


def text_check(submitter: Submitter) -> Callable[[str, str], None]:
    """Return the check of a wish: it is checked like the prompt that it becomes part of."""

    def check(owner: str, text: str) -> None:
        input_ = BookJobInput(personalization="0" * 36)
        input_._ready = ReadyWork(_outline(RECIPES[JobKind.PICTURE]), PromptTexts(text))
        submitter.check_texts(owner, RECIPES[JobKind.PICTURE], input_)

    return check


@dataclass(frozen=True, slots=True)
class ShrinkPhoto:
    """Scale a picture to a small JPEG without metadata."""

    side: int = 768

    def __call__(self, data: bytes, context: TransformContext) -> tuple[OutputFile, ...]:
        import io

        from PIL import Image

        del context
        try:
            with Image.open(io.BytesIO(data)) as opened:
                small = opened.convert("RGB")
        except (OSError, ValueError, SyntaxError) as error:
            raise InvalidImage("could not be read") from error
        small.thumbnail((self.side, self.side))
        file = io.BytesIO()
        small.save(file, "JPEG", quality=85)
        return (OutputFile(file.getvalue(), "image/jpeg", *small.size),)


def shrink_photo(run: RunTransform) -> Callable[[bytes], bytes]:
    """Return a function that makes a small JPEG of a picture in a confined process."""

    def shrink(data: bytes) -> bytes:
        context = TransformContext("", 0, now_us(), None, "", "")
        return run(ShrinkPhoto(), data, context)[0].data

    return shrink
