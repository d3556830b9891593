"""A book whose pages a ComfyUI node draws, from the photo to its preview."""

from collections.abc import Callable
from typing import Any

from imagemill.products.books.book_states import BookState
from imagemill.products.books.book_views import ChildDetails, Consent, NewBook
from imagemill.products.books.service import BookService
from tests.books.drawn_photos import photo
from tests.books.identity.makers import FILES
from tests.books.identity.test_jobs_on_nodes import large_files
from tests.comfyui.node import TestNode
from tests.conftest import Server
from tests.service.build import wait_until

NAME = "Zoe-Marie"
LONGEST_S = 120.0


def test_the_preview_of_a_book_is_drawn_by_the_node_and_leaves_nothing_there(
    make_server: Callable[..., Server],
) -> None:
    with TestNode(models=FILES) as node:
        server = make_server(comfyui={"urls": [node.url], "health_s": 0.05})
        product: Any = server.app.products["books"]
        service: BookService = product.service(server.app.services)
        owner = server.app.settings.owner
        wanted = NewBook(product.catalogue.slugs()[0], {"hero": photo(1)}, Consent("a parent", 1))
        id_ = service.create(owner, wanted).id
        wait_until(lambda: service.get(owner, id_).state is BookState.REFERENCE_READY, LONGEST_S)
        service.approve_reference(owner, id_)
        service.generate(owner, id_, ChildDetails(NAME, 5, "girl", "en"))
        wait_until(lambda: service.get(owner, id_).state is BookState.PREVIEW_READY, LONGEST_S)
        book = service.get(owner, id_)
        modes = {page.number: page.versions[-1].mode for page in book.pages}
        assert set(modes.values()) == {"edit", ""}
        assert len(node.prompts) == 1 + sum(mode == "edit" for mode in modes.values())
        sent = repr([prompt.graph for prompt in node.prompts])
        assert "a girl of 5 years" in sent
        assert NAME not in sent
        for kind in ("input", "output"):
            assert not list(node.files.names(kind))
        wait_until(lambda: not large_files(node))
        jobs = server.app.stores.jobs
        for job_id in book.jobs:
            told = repr([jobs.job(job_id), jobs.events_after(job_id, 0)])
            assert NAME not in told
            assert "class_type" not in told
            assert jobs.job(job_id).backend in ("press", "comfyui")
