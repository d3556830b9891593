"""A small book, a process that is not started, and a press that makes nothing but records real successes."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagemill.backends.base import OUTPUT
from imagemill.bootstrap.application import Application
from imagemill.config import Settings
from imagemill.domain.blob_keys import artifact_id, owner_folder
from imagemill.domain.clock import SECOND, now_us, uuid7
from imagemill.domain.credits import CREDIT
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import Failure, FailureCode
from imagemill.domain.jobs import Artifact, Claim, Failed, JobStatus, Succeeded
from imagemill.domain.placement import PlacementRules
from imagemill.domain.scheduling import Offer
from imagemill.jobs.attempt import Preparation
from imagemill.jobs.store.claim import ClaimRequest
from imagemill.jobs.store.finish import Finish, ReclaimLeases
from imagemill.products.books import store as book_store
from imagemill.products.books.book_states import BookState
from imagemill.products.books.book_views import ChildDetails, Consent, NewBook, PersonalizationView
from imagemill.products.books.composition import ComposePage
from imagemill.products.books.facts import FileKind
from imagemill.products.books.product import BookParts
from imagemill.products.books.progress import BookProgress
from imagemill.products.books.recipes import AnalyseCharacter
from imagemill.products.books.records import AnalysisEntry, FilesEntry
from imagemill.recipes.base import Plan
from tests.money import build as money

SLUG = "two-pages"
OWNER = "local"
CHILD = ChildDetails("Ада", 5, "girl", "uk")
MANIFEST = """
slug = "two-pages"
title = { en = "A Day of {child_name}", uk = "День {child_name}" }
languages = ["en", "uk"]
profile = "tiny"
characters = [{ id = "hero" }]

[reference]
base = "sheet.png"
characters = [{ id = "hero", box = { x = 0.1, y = 0.1, width = 0.3, height = 0.4 } }]
prompt = "a {child_gender} of {child_age} years"

[covers.front]
base = "page.png"
characters = [{ id = "hero", box = { x = 0.3, y = 0.2, width = 0.3, height = 0.4 } }]
text_layers = [{ text = { en = "{child_name}", uk = "{child_name}" }, position = "top-center" }]
[covers.back]
base = "page.png"

[[pages]]
page_num = 1
base = "page.png"
prompt = "a child in a meadow"
availability = { preview = true }
characters = [{ id = "hero", box = { x = 0.3, y = 0.2, width = 0.3, height = 0.4 } }]
text_layers = [{ text = { en = "{child_name} is {child_age}.", uk = "{child_name} має {child_age}." } }]

[[pages]]
page_num = 2
base = "page.png"
availability = { preview = true }
text_layers = [{ text = { en = "The end.", uk = "Кінець." } }]

[[pages]]
page_num = 3
base = "page.png"
characters = [{ id = "hero", box = { x = 0.3, y = 0.2, width = 0.3, height = 0.4 } }]

[[fill]]
kind = "title"
base = "page.png"
place = "before"
"""
PROFILE = """
slug = "tiny"
shop = "none"
product = "a page of 60 mm, for tests"
dated = 2026-11-29
[page]
width = 60.0
height = 60.0
bleed = { top = 3.0, bottom = 3.0, outer = 3.0, inner = 3.0 }
safe = 3.0
dpi = 100
least_dpi = 50
[pages]
least = 4
most = 24
[cover]
kind = "soft"
bleed = 3.0
safe = 3.0
spine = { per_page = 0.06, text_from_pages = 80 }
"""
PREVIEW = (1, 2)
ALL_PAGES = (1, 2, 3, 1001, 1002, 1101)


@cache
def picture(side: int, kind: str = "PNG", colour: str = "#88aacc") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, kind)
    return file.getvalue()


def write_book(folder: Path, manifest: str = MANIFEST, slug: str = SLUG) -> Path:
    """Write a book of three pages into its folder below ``folder``."""
    book = folder / slug
    book.mkdir(parents=True, exist_ok=True)
    for name in ("page.png", "sheet.png"):
        (book / name).write_bytes(picture(260, colour="#e8c8b0"))
    (book / "book.toml").write_text(manifest)
    profiles = folder / "profiles"
    profiles.mkdir(exist_ok=True)
    (profiles / "tiny.toml").write_text(PROFILE)
    return folder


@dataclass
class BookRig:
    """The product in a process that is built and not started: nothing runs unless a test says so."""

    app: Application
    scores: dict[int, list[float | None]] = field(default_factory=dict[int, list[float | None]])
    """The scores of a page's next versions; 0.9 where none is said."""
    findings: dict[int, list[dict[str, Any]]] = field(default_factory=dict[int, list[dict[str, Any]]])
    """The findings of preflight by page."""
    usable: bool = True
    """Whether photos can be used."""
    made: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    """Recipe, page and version of each success, in order."""

    def __post_init__(self) -> None:
        parts = self.app.products["books"]
        assert isinstance(parts, BookParts)
        self.parts = parts
        self.service = parts.service(self.app.services)
        self.jobs = self.app.stores.jobs

    def begin(self, photo: bytes | None = None, owner: str = OWNER) -> str:
        """Begin a book and return its id."""
        photos = {"hero": photo or picture(400, "JPEG")}
        return self.service.create(owner, NewBook(SLUG, photos, Consent("parent@example.org", 1))).id

    def get(self, id_: str, owner: str = OWNER) -> PersonalizationView:
        return self.service.get(owner, id_)

    def advance(self) -> None:
        self.parts.advance(self.app.services.submitter)

    def die_before_submitting(self) -> None:
        """Advance as a process that is killed when the next jobs are written and not yet submitted."""
        with pytest.MonkeyPatch.context() as patch, suppress(_Killed):
            patch.setattr(BookProgress, "submit", _killed)
            self.advance()

    def settle(self, most: int = 500) -> None:
        """Run all jobs and what follows from them, until nothing is left."""
        for _ in range(most):
            self.advance()
            if not self.work():
                self.advance()
                if not self.work():
                    return
        raise AssertionError("the jobs of a book do not come to an end")

    def claim(self) -> Claim | None:
        offer = Offer("worker", "press", "press", frozenset({"render", "gpu"}))
        now = now_us()
        request = ClaimRequest(offer, uuid7(), now, now + 30 * SECOND, PlacementRules())
        return self.jobs.claim_next(request)

    def work(self, *, fails: bool = False) -> bool:
        """Claim a job and end it; False if there is none."""
        claim = self.claim()
        if claim is None:
            return False
        self.end(claim, fails=fails)
        return True

    def end(self, claim: Claim, *, fails: bool = False) -> JobStatus:
        if fails:
            failure = Failure(FailureCode.BAD_OUTPUT, "the picture is blank")
            return self.jobs.finish(Finish(claim, Failed(failure), now_us()))
        try:
            plan = self.plan(claim)
        except BackendError as error:
            return self.jobs.finish(Finish(claim, Failed(Failure(error.failure, str(error))), now_us()))
        files, values = self._made(claim, plan)
        artifacts = tuple(self._stored(claim, plan, at, data, kind) for at, (data, kind) in enumerate(files))
        outcome = Succeeded(artifacts, {OUTPUT: values} if values else {}, plan.record)
        status = self.jobs.finish(Finish(claim, outcome, now_us()))
        given = claim.job.input
        self.made.append((claim.job.recipe, given.get("page", 0), given.get("version", 0)))
        return status

    def plan(self, claim: Claim) -> Plan:
        """Prepare a job as a worker does. Raises `BackendError`."""
        recipe = self.app.recipes[claim.job.recipe]
        safety = self.app.safety
        transform = safety.decoder_pool.transform
        preparation = Preparation(self.app.inputs.load, transform, safety.prompts, self.jobs.views_by_id)
        input_ = recipe.input.model_validate(claim.job.input)
        return recipe.plan(preparation.of(claim.job, recipe, input_).input)

    def reclaim(self) -> None:
        """Queue the jobs of workers again that were killed."""
        while self.jobs.reclaim_leases(ReclaimLeases(now_us(), ("worker",))):
            pass

    def _made(self, claim: Claim, plan: Plan) -> tuple[Sequence[tuple[bytes, str]], dict[str, Any]]:
        work = getattr(plan.work, "work", None)
        if isinstance(plan.record, AnalysisEntry):
            assert isinstance(work, AnalyseCharacter)
            if not self.usable:
                told = {"usable": False, "problem": "no_face", "message": "There is no face in the photo."}
                return [(b'{"sharpness": 0.1}', "application/json")], told
            return [(b'{"tilt": 1.0}', "application/json"), (b"crop", "image/jpeg")], {"usable": True}
        if isinstance(plan.record, FilesEntry):
            kinds = plan.record.kinds
            files = [(f"{kind.value} {claim.id}".encode(), _media_type(kind)) for kind in kinds]
            if isinstance(work, ComposePage):
                page = plan.record.page
                score = self._score(page) if work.faces else None
                return files, {"score": score, "findings": self.findings.get(page, [])}
            return files, {}
        return [], {}

    def _score(self, page: int) -> float | None:
        left = self.scores.get(page)
        return left.pop(0) if left else 0.9

    def _stored(self, claim: Claim, plan: Plan, at: int, data: bytes, media_type: str) -> Artifact:
        key = plan.file_keys[at].format(ms=now_us(), owner=owner_folder(claim.job.owner))
        self.app.blobs.put(key, data, media_type)
        digest = hashlib.sha256(data).hexdigest()
        identity = artifact_id(claim.id, at)
        size = len(data)
        return Artifact(
            identity, claim.id, at, claim.attempt, key, media_type, size, 0, 0, digest, None, now_us()
        )

    # Credits

    def add_owner(self, name: str, credits_: int = 0) -> None:
        money.add_owner(self.app.stores, name, credits_)

    def grant(self, owner: str, credits_: int) -> None:
        money.grant(self.app.stores, owner, credits_ * CREDIT)

    def balance(self, owner: str) -> float:
        return self.app.stores.ledger.balance(owner).available / CREDIT

    # Shortcuts to a state

    def reference_ready(self) -> str:
        id_ = self.begin()
        self.settle()
        assert self.get(id_).state is BookState.REFERENCE_READY
        return id_

    def preview_ready(self) -> str:
        id_ = self.reference_ready()
        self.service.approve_reference(OWNER, id_)
        self.service.generate(OWNER, id_, CHILD)
        self.settle()
        assert self.get(id_).state is BookState.PREVIEW_READY
        return id_

    def proof_ready(self) -> str:
        id_ = self.preview_ready()
        self.service.unlock(OWNER, id_)
        self.settle()
        assert self.get(id_).state is BookState.PROOF_READY
        return id_

    def completed(self) -> str:
        id_ = self.proof_ready()
        self.service.approve(OWNER, id_, "parent@example.org")
        self.settle()
        assert self.get(id_).state is BookState.COMPLETED
        return id_


class _Killed(BaseException):
    pass


def _killed(*_: object) -> None:
    raise _Killed


def _media_type(kind: FileKind) -> str:
    return "image/jpeg" if kind in (FileKind.PICTURE, FileKind.PREVIEW) else "application/pdf"


@contextmanager
def opened_rig(folder: Path, database_url: str | None = None, **settings: Any) -> Iterator[BookRig]:
    """A rig whose data is in ``folder``, on a migrated database."""
    given = {"database_url": database_url} if database_url is not None else {}
    books = {"folder": write_book(folder / "catalogue"), **settings.pop("books", {})}
    everything = Settings(_env_file=None, data_dir=folder / "data", books=books, **given, **settings)
    app = Application(everything)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(book_store, "_SUBMISSION_US", 0)  # no rig has a second process
            yield BookRig(app)
    finally:
        app.close()
