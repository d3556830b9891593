"""The way of one book, its refusals, redraws, approval and deletion."""

from dataclasses import replace

import pytest

from imagemill.domain.errors import InvalidInput, NotFound
from imagemill.products.books.book_states import BookAction, BookState, IllegalMove, PageState
from imagemill.products.books.book_views import BookFilter, ChildDetails, Consent, NewBook
from imagemill.products.books.layout.findings import FindingCode, PrintFinding
from tests.books.support import ALL_PAGES, CHILD, OWNER, PREVIEW, SLUG, BookRig, picture


def test_a_book_goes_its_way(books: BookRig):
    id_ = books.begin()
    assert books.get(id_).state is BookState.PENDING_ANALYSIS
    books.settle()
    view = books.get(id_)
    assert view.state is BookState.REFERENCE_READY
    assert [(each.character, each.usable) for each in view.analyses] == [("hero", True)]
    books.service.approve_reference(OWNER, id_)
    view = books.service.generate(OWNER, id_, CHILD)
    assert (view.state, view.done, view.total) == (BookState.PREVIEW_GENERATING, 0, 2)
    books.settle()
    view = books.get(id_)
    assert (view.state, [page.number for page in view.pages]) == (BookState.PREVIEW_READY, list(PREVIEW))
    assert books.service.unlock(OWNER, id_, by="shop").state is BookState.FULL_GENERATING
    books.settle()
    view = books.get(id_)
    assert (view.state, [page.number for page in view.pages]) == (BookState.PROOF_READY, list(ALL_PAGES))
    books.service.approve(OWNER, id_, "parent@example.org")
    books.settle()
    view = books.get(id_)
    assert view.state is BookState.COMPLETED
    assert view.photo_deleted_at is not None
    files = books.service.files(OWNER, id_)
    assert [each is not None for each in (files.block, files.cover, files.spreads, files.proof)] == [True] * 4


def test_each_page_is_made_once(books: BookRig):
    books.completed()
    assert len(books.made) == len(set(books.made))
    pages = [page for recipe, page, _ in books.made if recipe == "bookPage"]
    assert sorted(pages) == sorted(ALL_PAGES)


def test_a_bad_photo_ends_the_book_with_a_sentence(books: BookRig):
    books.usable = False
    id_ = books.begin()
    books.settle()
    view = books.get(id_)
    assert view.state is BookState.ANALYSIS_FAILED
    assert view.problem == "There is no face in the photo."
    assert set(view.allowed) == {BookAction.CANCEL, BookAction.DELETE}


@pytest.mark.parametrize(
    ("child", "path"),
    [
        (ChildDetails("", 5, "girl", "uk"), "childName"),
        (ChildDetails("Ада\n#set", 5, "girl", "uk"), "childName"),
        (ChildDetails("Ада", -1, "girl", "uk"), "childAge"),
        (ChildDetails("Ада", 5, "queen", "uk"), "childGender"),
        (ChildDetails("Ада", 5, "girl", "ko"), "language"),
    ],
)
def test_bad_details_name_the_field_and_change_nothing(books: BookRig, child: ChildDetails, path: str):
    id_ = books.reference_ready()
    books.service.approve_reference(OWNER, id_)
    before = books.get(id_)
    with pytest.raises(InvalidInput) as refused:
        books.service.generate(OWNER, id_, child)
    assert [error.path for error in refused.value.errors] == [path]
    assert books.get(id_) == before


@pytest.mark.parametrize(
    ("photos", "path"),
    [
        ({}, "photo.hero"),
        ({"hero": b"GIF89a"}, "photo.hero"),
        ({"hero": b""}, "photo.hero"),
        ({"hero": picture(64), "fox": picture(64)}, "photo.fox"),
        ({"hero": b"\xff\xd8\xff" + bytes(11 * 2**20)}, "photo.hero"),
    ],
)
def test_bad_photos_name_the_field_and_leave_nothing(books: BookRig, photos: dict[str, bytes], path: str):
    with pytest.raises(InvalidInput) as refused:
        books.service.create(OWNER, NewBook(SLUG, photos, Consent("me", 1)))
    assert [error.path for error in refused.value.errors] == [path]
    assert list(books.app.blobs.list("books/")) == []


def test_a_photo_is_stored_under_the_books_own_key_and_without_metadata(books: BookRig):
    id_ = books.begin()
    keys = [blob.key for blob in books.app.blobs.list("")]
    assert len(keys) == 1
    assert keys[0].startswith(f"books/{OWNER}/{id_}/photo-hero-")


def test_illegal_moves_name_the_state_and_what_is_allowed_and_change_nothing(books: BookRig):
    id_ = books.reference_ready()
    before = books.get(id_)
    for move in (
        lambda: books.service.generate(OWNER, id_, CHILD),
        lambda: books.service.unlock(OWNER, id_),
        lambda: books.service.approve(OWNER, id_, "me"),
        lambda: books.service.redraw_page(OWNER, id_, 1),
        lambda: books.service.choose_version(OWNER, id_, 1, 1),
        lambda: books.service.file(OWNER, id_, "block"),
    ):
        with pytest.raises(IllegalMove) as refused:
            move()
        assert refused.value.state is BookState.REFERENCE_READY
        assert refused.value.allowed == ("approve_reference", "cancel", "delete", "redraw_reference")
    assert books.get(id_) == before


def test_other_owners_find_nothing(books: BookRig):
    id_ = books.preview_ready()
    for call in (
        lambda: books.service.get("mallory", id_),
        lambda: books.service.redraw_page("mallory", id_, 1),
        lambda: books.service.unlock("mallory", id_),
        lambda: books.service.files("mallory", id_),
        lambda: books.service.erase("mallory", id_),
    ):
        with pytest.raises(NotFound):
            call()


def test_unlocking_twice_makes_nothing_twice(books: BookRig):
    id_ = books.preview_ready()
    first = books.service.unlock(OWNER, id_)
    again = books.service.unlock(OWNER, id_)
    assert again.jobs == first.jobs
    books.settle()
    books.service.unlock(OWNER, id_)
    books.settle()
    assert len(books.made) == len(set(books.made))


def test_preview_pages_are_printed_byte_for_byte(books: BookRig):
    id_ = books.preview_ready()
    shown = {page.number: page.current for page in books.get(id_).pages}
    books.service.unlock(OWNER, id_)
    books.settle()
    books.service.approve(OWNER, id_, "me")
    approved = {each["page"]: each for each in books.service.approval(OWNER, id_).pages}
    for number, version in shown.items():
        assert version is not None
        assert version.picture is not None
        assert approved[number]["pictureSha256"] == version.picture.sha256


def test_a_picture_that_changed_in_the_store_is_not_printed(books: BookRig):
    id_ = books.proof_ready()
    page = books.get(id_).pages[0].current
    assert page is not None
    assert page.picture is not None
    books.app.blobs.put(page.picture.key, b"another", "image/jpeg")
    books.service.approve(OWNER, id_, "me")
    books.settle()
    view = books.get(id_)
    assert view.state is BookState.GENERATION_FAILED
    assert "has changed in the blob store" in (view.problem or "")


# Redraws


def test_a_redraw_makes_one_page_with_another_seed_and_keeps_the_history(books: BookRig):
    id_ = books.preview_ready()
    made = list(books.made)
    books.service.redraw_page(OWNER, id_, 1, "with a red hat")
    books.settle()
    page = books.get(id_).pages[0]
    assert [version.feedback for version in page.versions] == ["", "with a red hat"]
    assert page.versions[0].seed != page.versions[1].seed
    assert [version.current for version in page.versions] == [False, True]
    assert sorted(books.made[len(made) :]) == [("bookPage", 1, 2), ("bookPicture", 1, 2)]
    books.service.choose_version(OWNER, id_, 1, 1)
    assert [version.current for version in books.get(id_).pages[0].versions] == [True, False]
    books.settle()
    assert len(books.made) == len(made) + 2


def test_a_page_is_redrawn_three_times_at_most(books: BookRig):
    id_ = books.preview_ready()
    for left in (2, 1, 0):
        books.service.redraw_page(OWNER, id_, 1)
        books.settle()
        assert books.get(id_).pages[0].redraws_left == left
    with pytest.raises(IllegalMove, match="redrawn 3 times"):
        books.service.redraw_page(OWNER, id_, 1)
    with pytest.raises(IllegalMove, match="has no face"):
        books.service.redraw_page(OWNER, id_, 2)
    with pytest.raises(NotFound):
        books.service.redraw_page(OWNER, id_, 3)


@pytest.mark.parametrize("wish", ["One thing. Another thing.", "two\nlines", "x" * 301])
def test_a_wish_is_one_sentence(books: BookRig, wish: str):
    id_ = books.preview_ready()
    with pytest.raises(InvalidInput) as refused:
        books.service.redraw_page(OWNER, id_, 1, wish)
    assert refused.value.errors[0].path == "feedback"


def test_a_page_is_not_redrawn_while_it_is_drawn(books: BookRig):
    id_ = books.preview_ready()
    books.service.redraw_page(OWNER, id_, 1)
    with pytest.raises(IllegalMove, match="is being drawn"):
        books.service.redraw_page(OWNER, id_, 1)


def test_a_low_score_redraws_the_page_and_then_flags_the_best(books: BookRig):
    books.scores[1] = [0.2, 0.4, 0.3]
    id_ = books.preview_ready()
    page = books.get(id_).pages[0]
    assert [(each.score, each.automatic) for each in page.versions] == [
        (0.2, False),
        (0.4, True),
        (0.3, True),
    ]
    assert (page.score, page.flagged, page.redraws_left) == (0.4, True, 3)


def test_a_good_redraw_ends_the_automatic_ones(books: BookRig):
    books.scores[1] = [None, 0.8]
    page = books.get(books.preview_ready()).pages[0]
    assert (len(page.versions), page.score, page.flagged) == (2, 0.8, False)


def test_a_version_that_was_chosen_is_not_redrawn_for_its_score(books: BookRig):
    books.scores[1] = [0.2, 0.2, 0.2, 0.9]
    id_ = books.preview_ready()
    books.service.redraw_page(OWNER, id_, 1)
    books.settle()
    books.service.choose_version(OWNER, id_, 1, 1)
    books.settle()
    page = books.get(id_).pages[0]
    assert (len(page.versions), page.score, page.flagged) == (4, 0.2, True)


def test_the_reference_is_redrawn_until_it_is_approved(books: BookRig):
    id_ = books.reference_ready()
    books.service.redraw_reference(OWNER, id_)
    assert books.get(id_).state is BookState.REFERENCE_GENERATING
    books.settle()
    view = books.service.approve_reference(OWNER, id_, 1)
    assert view.reference is not None
    assert [version.current for version in view.reference.versions] == [True, False]
    with pytest.raises(IllegalMove):
        books.service.redraw_reference(OWNER, id_)
    assert books.service.approve_reference(OWNER, id_).reference_approved


# Failures


def test_one_failed_page_fails_alone_and_is_made_again(books: BookRig):
    id_ = books.reference_ready()
    books.service.approve_reference(OWNER, id_)
    books.service.generate(OWNER, id_, CHILD)
    assert books.work(fails=True)
    books.settle()
    view = books.get(id_)
    assert view.state is BookState.GENERATION_FAILED
    assert [page.state for page in view.pages] == [PageState.FAILED, PageState.READY]
    assert view.problem == "page 1: the picture is blank"
    made = list(books.made)
    books.service.generate(OWNER, id_, CHILD)
    books.settle()
    assert books.get(id_).state is BookState.PREVIEW_READY
    assert {page for _, page, _ in books.made[len(made) :]} == {1}


def test_a_failed_proof_is_made_again_by_unlock(books: BookRig):
    id_ = books.preview_ready()
    books.service.unlock(OWNER, id_)
    while books.get(id_).done < len(ALL_PAGES):
        assert books.work()
        books.advance()
    assert books.work(fails=True)
    books.advance()
    assert books.get(id_).state is BookState.GENERATION_FAILED
    books.service.unlock(OWNER, id_)
    books.settle()
    assert books.get(id_).state is BookState.PROOF_READY


# Changes after the approval


def test_a_change_in_the_window_needs_another_approval_and_prints_again(books: BookRig):
    id_ = books.proof_ready()
    books.service.redraw_page(OWNER, id_, 1)
    books.settle()
    books.service.approve(OWNER, id_, "me")
    books.settle()
    first = books.service.file(OWNER, id_, "block")
    books.service.choose_version(OWNER, id_, 1, 1)
    with pytest.raises(IllegalMove):
        books.service.file(OWNER, id_, "block")
    books.settle()
    assert books.get(id_).state is BookState.PROOF_READY
    books.service.approve(OWNER, id_, "me again")
    books.settle()
    assert books.get(id_).state is BookState.COMPLETED
    assert books.service.file(OWNER, id_, "block").key != first.key
    assert books.service.approval(OWNER, id_).number == 2


def test_approving_twice_prints_once(books: BookRig):
    id_ = books.completed()
    books.service.approve(OWNER, id_, "somebody else")
    books.settle()
    assert [recipe for recipe, _, _ in books.made].count("bookPrint") == 1
    assert books.service.approval(OWNER, id_).who == "parent@example.org"


def test_after_the_approval_the_photo_is_gone_so_faces_are_not_redrawn(books: BookRig):
    id_ = books.completed()
    assert not [
        blob for blob in books.app.blobs.list("books/") if "photo-" in blob.key or "face-" in blob.key
    ]
    with pytest.raises(IllegalMove, match="the photo is deleted"):
        books.service.redraw_page(OWNER, id_, 1)


# Cancel and delete


def test_a_book_with_an_error_of_preflight_is_not_approved(books: BookRig):
    outside = PrintFinding(
        "page 2", 2, "error", FindingCode.TEXT_OUTSIDE, "the text lies outside", "make the text shorter"
    )
    books.findings = {1: [replace(outside, level="warning").as_dict()], 2: [outside.as_dict()]}
    id_ = books.proof_ready()
    before = books.get(id_)
    with pytest.raises(IllegalMove) as refused:
        books.service.approve(OWNER, id_, "parent@example.org")
    assert str(refused.value).endswith(": page 2: the text lies outside (make the text shorter)")
    assert refused.value.state is BookState.PROOF_READY
    assert "approve" not in refused.value.allowed
    assert books.get(id_) == before
    assert before.photo_deleted_at is None


def test_the_reference_of_a_canceled_or_deleted_book_is_not_approved_again(books: BookRig):
    id_ = books.reference_ready()
    books.service.approve_reference(OWNER, id_)
    books.service.approve_reference(OWNER, id_)
    books.service.cancel(OWNER, id_)
    with pytest.raises(IllegalMove):
        books.service.approve_reference(OWNER, id_)


def test_a_canceled_book_stops_its_jobs_and_deletes_the_photo(books: BookRig):
    id_ = books.reference_ready()
    books.service.approve_reference(OWNER, id_)
    books.service.generate(OWNER, id_, CHILD)
    books.service.cancel(OWNER, id_)
    books.settle()
    view = books.get(id_)
    assert view.state is BookState.CANCELED
    assert view.photo_deleted_at is not None
    assert view.done == 0
    assert books.service.cancel(OWNER, id_).state is BookState.CANCELED


def test_a_deletion_leaves_ids_times_and_counts(books: BookRig):
    id_ = books.completed()
    jobs = books.get(id_).jobs
    books.service.erase(OWNER, id_)
    books.settle()
    view = books.get(id_)
    assert view.deletion["erasedAt"] is not None
    assert view.deletion["files"] > len(ALL_PAGES)
    assert (view.child, view.pages, view.analyses, view.reference) == (None, (), (), None)
    assert list(books.app.blobs.list("books/")) == []
    proofs = books.jobs.views_by_id(view.deletion["jobIds"])
    assert all(proof.job.recipe == "bookErasure" for proof in proofs.values())
    assert set(books.jobs.views_by_id(jobs)) <= set(proofs)
    assert books.service.list(BookFilter(OWNER)) == []
    books.service.erase(OWNER, id_)
    books.settle()


def test_a_deletion_stops_a_running_job_and_its_late_result_changes_nothing(books: BookRig):
    id_ = books.reference_ready()
    books.service.approve_reference(OWNER, id_)
    books.service.generate(OWNER, id_, CHILD)
    running = books.claim()
    assert running is not None
    books.service.erase(OWNER, id_)
    books.settle()
    assert books.get(id_).deletion["erasedAt"] is not None
    with pytest.raises(Exception, match="void"):
        books.end(running)


def test_an_analysis_that_fails_is_tried_three_times(books: BookRig):
    id_ = books.begin()
    for _ in range(3):
        assert books.get(id_).state is BookState.PENDING_ANALYSIS
        assert books.work(fails=True)
        books.advance()
    assert not books.work()
    view = books.get(id_)
    assert (view.state, view.problem) == (BookState.ANALYSIS_FAILED, "the picture is blank")


@pytest.mark.parametrize("stage", ["reference", "proof", "erasure"])
def test_jobs_that_a_killed_process_wrote_and_did_not_submit_are_submitted(books: BookRig, stage: str):
    id_ = books.begin() if stage == "reference" else books.preview_ready()
    if stage == "proof":
        books.service.unlock(OWNER, id_)
        while books.work():
            pass
    elif stage == "erasure":
        books.service.cancel(OWNER, id_)
        books.work()
    else:
        books.work()
    books.die_before_submitting()
    if stage == "erasure":
        books.service.erase(OWNER, id_)
    books.settle()
    view = books.get(id_)
    if stage == "erasure":
        assert view.deletion["erasedAt"] is not None
    else:
        assert view.state is (BookState.REFERENCE_READY if stage == "reference" else BookState.PROOF_READY)
