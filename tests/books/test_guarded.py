"""Books under pressure: callers at once, refused credits, and what may be read of a child where."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from imagemill.db import tables as core
from imagemill.domain.errors import Conflict, ContentBlocked, CreditsInsufficient, RateLimited
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.store.queries import Filter
from imagemill.jobs.submit import JobRequest
from imagemill.products.books import tables
from imagemill.products.books.book_states import BookState
from imagemill.products.books.book_views import Consent, NewBook
from tests import databases
from tests.books.support import (
    ALL_PAGES,
    CHILD,
    MANIFEST,
    OWNER,
    SLUG,
    BookRig,
    opened_rig,
    picture,
    write_book,
)

SHOP = "shop"


def _at_once(call: Callable[[], Any], times: int = 6) -> list[Any]:
    """Call from several threads at once; return the results, and the refusals."""

    def run(_: int) -> Any:
        try:
            return call()
        except Conflict as refusal:
            return refusal

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(run, range(times)))


def test_callers_at_once_unlock_and_approve_once(books: BookRig):
    id_ = books.preview_ready()
    _at_once(lambda: books.service.unlock(OWNER, id_))
    books.settle()
    _at_once(lambda: books.service.approve(OWNER, id_, "me"))
    books.settle()
    assert books.get(id_).state is BookState.COMPLETED
    assert books.service.approval(OWNER, id_).number == 1
    assert len(books.made) == len(set(books.made))


def test_callers_at_once_redraw_a_page_once(books: BookRig):
    id_ = books.preview_ready()
    answers = _at_once(lambda: books.service.redraw_page(OWNER, id_, 1))
    assert sum(isinstance(answer, Conflict) for answer in answers) == len(answers) - 1
    books.settle()
    page = books.get(id_).pages[0]
    assert (len(page.versions), page.redraws_left) == (2, 2)


def test_two_leaders_submit_each_job_once(books: BookRig):
    id_ = books.preview_ready()
    books.service.unlock(OWNER, id_)
    while books.get(id_).state is not BookState.PROOF_READY:
        for refused in _at_once(books.advance, 3):
            assert refused is None
        books.work()
    assert len(books.made) == len(set(books.made))
    jobs = books.jobs.list_jobs(Filter(OWNER, limit=200))
    assert {job.status for job in jobs} == {JobStatus.SUCCEEDED}


# Credits


@pytest.fixture
def charging(tmp_path: Path) -> Iterator[BookRig]:
    priced = MANIFEST.replace('profile = "tiny"', 'profile = "tiny"\nprice = { page = 3, book = 20 }')
    url = databases.sqlite_database(tmp_path / "data" / "imagemill.db")
    with opened_rig(tmp_path, url, credits={"enabled": True}) as rig:
        write_book(tmp_path / "catalogue", priced)
        rig.add_owner(SHOP)
        yield rig


def _held(rig: BookRig) -> dict[str, float]:
    jobs = rig.jobs.list_jobs(Filter(SHOP, limit=200))
    costs: dict[str, float] = {}
    for job in jobs:
        costs[job.recipe] = costs.get(job.recipe, 0.0) + job.cost
    return {recipe: cost for recipe, cost in costs.items() if cost}


def test_pages_and_print_files_cost_what_the_manifest_says(charging: BookRig):
    charging.grant(SHOP, 100)
    id_ = charging.begin(owner=SHOP)
    charging.settle()
    charging.service.approve_reference(SHOP, id_)
    charging.service.generate(SHOP, id_, CHILD)
    charging.settle()
    assert _held(charging) == {"bookPicture": 6.0}
    charging.service.redraw_page(SHOP, id_, 1)
    charging.settle()
    charging.service.unlock(SHOP, id_)
    charging.settle()
    charging.service.approve(SHOP, id_, "me")
    charging.settle()
    assert _held(charging) == {"bookPicture": 9.0, "bookPrint": 20.0}
    assert charging.balance(SHOP) == 71.0


def test_a_request_that_cannot_be_paid_changes_nothing(charging: BookRig):
    charging.grant(SHOP, 7)
    id_ = charging.begin(owner=SHOP)
    charging.settle()
    charging.service.approve_reference(SHOP, id_)
    charging.service.generate(SHOP, id_, CHILD)
    charging.settle()
    before = charging.get(id_, SHOP)
    with pytest.raises(CreditsInsufficient):
        charging.service.unlock(SHOP, id_)
    assert charging.get(id_, SHOP) == before
    assert before.state is BookState.PREVIEW_READY
    charging.grant(SHOP, 20)
    charging.service.unlock(SHOP, id_)
    charging.settle()
    with pytest.raises(CreditsInsufficient):
        charging.service.approve(SHOP, id_, "me")
    assert charging.get(id_, SHOP).state is BookState.PROOF_READY
    charging.grant(SHOP, 20)
    charging.service.approve(SHOP, id_, "me")
    charging.settle()
    assert charging.get(id_, SHOP).state is BookState.COMPLETED


# What is known of a child


def _texts(rig: BookRig, metadata: sa.MetaData) -> str:
    """Return all that some tables hold, as text."""
    with rig.app.stores.database.engines.reader.connect() as conn:
        found = [conn.execute(sa.select(table)).all() for table in metadata.sorted_tables]
    return "\n".join(str(tuple(row)) for rows in found for row in rows)


def _core_texts(rig: BookRig) -> str:
    return _texts(rig, core.metadata)


def _book_texts(rig: BookRig) -> str:
    with rig.app.stores.database.engines.reader.connect() as conn:
        return "\n".join(
            str(tuple(row))
            for table in tables.metadata.sorted_tables
            for row in conn.execute(sa.select(table))
        )


def test_no_job_event_or_log_line_has_the_childs_name(books: BookRig, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        id_ = books.preview_ready()
        books.service.redraw_page(OWNER, id_, 1, "with a green umbrella")
        books.settle()
        books.service.unlock(OWNER, id_)
        books.settle()
        books.service.approve(OWNER, id_, "parent@example.org")
        books.settle()
    texts = _core_texts(books)
    for private in (CHILD.name, "green umbrella", "parent@example.org"):
        assert private in _book_texts(books)
        assert private not in texts
        assert private not in caplog.text
    books.service.erase(OWNER, id_)
    books.settle()
    left = _book_texts(books)
    for private in (CHILD.name, "green umbrella", "parent@example.org"):
        assert private not in left
    assert id_ in left


def test_prompts_call_the_child_by_no_name(books: BookRig):
    id_ = books.preview_ready()
    facts = books.parts.facts(id_)
    request = books.parts.composer.picture(facts, facts.of_page(1)[0])
    said = f"{request.prompt} {request.people} {request.feedback}"
    assert CHILD.name not in said
    assert "girl of 5 years" in said


def test_a_wish_about_a_child_is_checked(books: BookRig):
    id_ = books.preview_ready()
    before = books.get(id_)
    with pytest.raises(ContentBlocked) as blocked:
        books.service.redraw_page(OWNER, id_, 1, "a nude child")
    assert blocked.value.errors[0].path == "feedback"
    assert books.get(id_) == before


def test_an_old_photo_is_deleted_though_the_book_is_unfinished(tmp_path: Path):
    url = databases.sqlite_database(tmp_path / "data" / "imagemill.db")
    with opened_rig(tmp_path, url, books={"photo_days": 1e-9}) as rig:
        id_ = rig.begin()
        rig.settle()
        assert rig.get(id_).photo_deleted_at is not None
        assert not [blob for blob in rig.app.blobs.list("books/") if "photo" in blob.key]


def test_a_client_cannot_make_a_page_by_submitting_its_job(books: BookRig):
    id_ = books.preview_ready()
    made = list(books.made)
    for recipe, given in (
        ("bookPicture", {"page": 3, "version": 1}),
        ("bookPage", {"page": 3, "version": 1}),
        ("bookPrint", {"version": 1}),
        ("bookErasure", {"edition": "all"}),
    ):
        request = JobRequest(recipe, {"personalization": id_, **given})
        submitter = books.app.services.submitter
        accepted = submitter.submit(OWNER, submitter.prepare(OWNER, [request], dialect="native"))
        books.work()
        job = books.jobs.job(accepted.jobs[0].id)
        assert (job.status, job.error and job.error.message) == (
            JobStatus.FAILED,
            "the book does not ask for this job",
        )
    assert books.made == made
    assert books.get(id_).state is BookState.PREVIEW_READY


def test_pages_beyond_the_preview_do_not_exist_before_they_are_unlocked(books: BookRig):
    id_ = books.preview_ready()
    keys = [blob.key for blob in books.app.blobs.list(f"books/{OWNER}/{id_}/")]
    assert not [key for key in keys if "page-3" in key or "page-1001" in key or "preview-3" in key]
    inputs = [job.input for job in books.jobs.list_jobs(Filter(OWNER, limit=200))]
    assert {each.get("page", 0) for each in inputs} <= {0, 1, 2}
    assert set(books.service.files(OWNER, id_).pages) == {1, 2}
    assert 3 in ALL_PAGES


def test_a_refused_beginning_leaves_no_photo(tmp_path: Path):
    url = databases.sqlite_database(tmp_path / "data" / "imagemill.db")
    with opened_rig(tmp_path, url, quota={"enabled": True, "jobs_per_day": {"bookAnalysis": 1}}) as rig:
        rig.add_owner(SHOP)
        photos = {"hero": picture(400, "JPEG")}
        request = NewBook(SLUG, photos, Consent("me", 1))
        rig.service.create(SHOP, request)
        with pytest.raises(RateLimited):
            rig.service.create(SHOP, request)
        assert len(list(rig.app.blobs.list("books/"))) == 1


def test_a_prompt_of_the_manifest_that_is_not_allowed_fails_its_page_alone(tmp_path: Path):
    url = databases.sqlite_database(tmp_path / "data" / "imagemill.db")
    with opened_rig(tmp_path, url) as rig:
        blocked = MANIFEST.replace("a child in a meadow", "a naked child in a meadow")
        write_book(tmp_path / "catalogue", blocked)
        id_ = rig.reference_ready()
        rig.service.approve_reference(OWNER, id_)
        rig.service.generate(OWNER, id_, CHILD)
        rig.settle()
        view = rig.get(id_)
        assert view.state is BookState.GENERATION_FAILED
        assert [page.state.value for page in view.pages] == ["failed", "ready"]
        assert "blocked" in (view.problem or "")


def test_an_old_photo_is_deleted_though_nothing_can_draw_its_face(tmp_path: Path):
    url = databases.sqlite_database(tmp_path / "data" / "imagemill.db")
    with opened_rig(tmp_path, url, books={"modes": ("ipadapter",), "photo_days": 1e-9}) as rig:
        id_ = rig.begin()
        rig.settle()
        view = rig.get(id_)
        assert view.state is BookState.ANALYZED
        assert view.photo_deleted_at is not None


def test_a_mode_that_no_node_has_is_the_problem_of_the_book(tmp_path: Path):
    url = databases.sqlite_database(tmp_path / "data" / "imagemill.db")
    with opened_rig(tmp_path, url, books={"modes": ("ipadapter",)}) as rig:
        id_ = rig.begin()
        rig.settle()
        view = rig.get(id_)
        assert view.state is BookState.ANALYZED
        assert "IMAGEMILL_BOOKS__ALLOW_RESEARCH_WEIGHTS" in (view.problem or "")
