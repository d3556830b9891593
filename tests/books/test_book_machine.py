"""Any order of requests, jobs, failures and crashes: a refusal changes nothing, and no page is made twice."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from imagemill.domain.errors import Conflict, NotFound
from imagemill.products.books.book_states import MOVES, BookState, IllegalMove, PageState
from imagemill.products.books.book_views import PersonalizationView
from tests import databases
from tests.books.support import ALL_PAGES, CHILD, OWNER, PREVIEW, BookRig, opened_rig

MOVING = {
    BookState.PENDING_ANALYSIS,
    BookState.ANALYZING,
    BookState.ANALYZED,
    BookState.REFERENCE_GENERATING,
    BookState.PREVIEW_GENERATING,
    BookState.FULL_GENERATING,
}
"""States that jobs alone must end."""
_pages = st.sampled_from((0, *ALL_PAGES, 77))
_versions = st.integers(1, 3)


class BookStory(RuleBasedStateMachine):
    """One book of the small manifest. ``books`` is set by the test."""

    books: BookRig
    asked = 0
    """Requests so far; a book is not given up at once, as little happens to it then."""
    refusal: tuple[BookState, tuple[str, ...], PersonalizationView] | None = None
    """State and allowed actions that the last refusal named, and the book before it."""
    unchanged: tuple[PersonalizationView, PersonalizationView] | None = None
    """The book after and before the last refusal."""

    @initialize(stage=st.sampled_from(("unusable", "begun", "reference", "preview", "proof", "completed")))
    def begin(self, stage: str) -> None:
        """Begin in any stage, so that stories reach the later states, too."""
        self.books.usable = stage != "unusable"
        self.books.made.clear()
        self.books.scores = {1: [0.2, 0.9], 3: [None, 0.1, 0.1]}
        ways = {
            "reference": self.books.reference_ready,
            "preview": self.books.preview_ready,
            "proof": self.books.proof_ready,
            "completed": self.books.completed,
        }
        self.id = ways.get(stage, self.books.begin)()

    def ask(self, call: Callable[[], PersonalizationView]) -> None:
        self.asked += 1
        before = self.books.get(self.id)
        try:
            call()
        except (NotFound, Conflict) as refused:
            if isinstance(refused, IllegalMove):
                self.refusal = (refused.state, refused.allowed, before)
            self.unchanged = (self.books.get(self.id), before)

    # Jobs

    @rule(count=st.integers(1, 12))
    def run_jobs(self, count: int) -> None:
        for _ in range(count):
            self.books.advance()
            self.books.work()

    @rule()
    def run_all_jobs(self) -> None:
        self.books.settle()

    @rule()
    def fail_a_job(self) -> None:
        self.books.work(fails=True)

    @rule()
    def advance(self) -> None:
        self.books.advance()
        self.books.advance()

    @rule()
    def kill_before_submission(self) -> None:
        self.books.die_before_submitting()

    @rule()
    def kill_a_worker(self) -> None:
        self.books.claim()
        self.books.reclaim()

    # Requests

    @rule(version=st.one_of(st.none(), _versions))
    def approve_reference(self, version: int | None) -> None:
        self.ask(lambda: self.books.service.approve_reference(OWNER, self.id, version))

    @rule()
    def redraw_reference(self) -> None:
        self.ask(lambda: self.books.service.redraw_reference(OWNER, self.id))

    @rule()
    def generate(self) -> None:
        self.ask(lambda: self.books.service.generate(OWNER, self.id, CHILD))

    @rule(page=_pages)
    def redraw(self, page: int) -> None:
        self.ask(lambda: self.books.service.redraw_page(OWNER, self.id, page))

    @rule(page=_pages, version=_versions)
    def choose(self, page: int, version: int) -> None:
        self.ask(lambda: self.books.service.choose_version(OWNER, self.id, page, version))

    @rule(times=st.integers(1, 2))
    def unlock(self, times: int) -> None:
        for _ in range(times):
            self.ask(lambda: self.books.service.unlock(OWNER, self.id))

    @rule()
    def approve(self) -> None:
        self.ask(lambda: self.books.service.approve(OWNER, self.id, "parent"))

    @precondition(lambda self: self.asked > 8)
    @rule()
    def cancel(self) -> None:
        self.ask(lambda: self.books.service.cancel(OWNER, self.id))

    @precondition(lambda self: self.asked > 8)
    @rule()
    def delete(self) -> None:
        self.ask(lambda: self.books.service.erase(OWNER, self.id))

    # What always holds

    @invariant()
    def the_view_is_sound(self) -> None:
        if not hasattr(self, "id"):
            return
        view = self.books.get(self.id)
        assert set(view.allowed) <= MOVES[view.state] or view.deleted_at is not None
        shown = [page.number for page in view.pages]
        if view.deleted_at is not None:
            assert shown == []
            return
        assert shown == list(ALL_PAGES if view.unlocked_at else PREVIEW if view.child else ())
        for page in view.pages:
            assert sum(version.current for version in page.versions) <= 1
            assert page.redraws_left >= 0
        files = self.books.service.files(OWNER, self.id)
        if view.state is BookState.COMPLETED:
            assert all(page.state is PageState.READY for page in view.pages)
            assert files.block is not None
        else:
            assert files.block is None

    @invariant()
    def a_refusal_names_the_state_and_changes_nothing(self) -> None:
        if self.refusal is not None:
            state, allowed, before = self.refusal
            assert state is before.state
            assert set(allowed) <= set(before.allowed)
        if self.unchanged is not None:
            after, before = self.unchanged
            assert after == before
        self.refusal = self.unchanged = None

    @invariant()
    def nothing_is_made_twice(self) -> None:
        pages = [each for each in self.books.made if each[0] in {"bookPicture", "bookPage", "bookReference"}]
        assert len(pages) == len(set(pages))

    def teardown(self) -> None:
        if not hasattr(self, "id"):
            return
        self.books.reclaim()
        self.books.settle()
        view = self.books.get(self.id)
        assert view.state not in MOVING, view.problem
        if view.deleted_at is not None:
            assert view.deletion["erasedAt"] is not None
            assert not [blob for blob in self.books.app.blobs.list("books/") if self.id in blob.key]
        else:
            self.books.service.erase(OWNER, self.id)
            self.books.settle()


@contextmanager
def _machine(rig: BookRig) -> Iterator[type[BookStory]]:
    yield type("Story", (BookStory,), {"books": rig})


def _run(rig: BookRig, examples: int) -> None:
    with _machine(rig) as story:
        run_state_machine_as_test(
            story,
            settings=settings(
                max_examples=examples,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.mark.timeout(600)
def test_any_story_on_sqlite():
    with tempfile.TemporaryDirectory() as folder:
        url = databases.sqlite_database(Path(folder) / "data" / "imagemill.db")
        with opened_rig(Path(folder), url) as rig:
            _run(rig, 12)


@pytest.mark.timeout(600)
def test_any_story_on_postgres(kept_postgres_url: str, tmp_path: Path):
    with opened_rig(tmp_path, kept_postgres_url) as rig:
        _run(rig, 3)
