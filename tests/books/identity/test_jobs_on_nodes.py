"""A picture of a child as a job of a server with a ComfyUI node: chosen, drawn, stored, and nowhere else."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image
from pydantic import BaseModel, PrivateAttr

from imagemill.domain.credits import Rate
from imagemill.jobs.submit import JobRequest
from imagemill.products.base import Product, ProductContext, ProductParts
from imagemill.products.books.book_manifest import Style, TransferMode
from imagemill.products.books.identity.base import PicturePlan, PictureRequest
from imagemill.products.books.identity.modes import IdentityModes, open_mode
from imagemill.products.books.settings import BookSettings
from imagemill.recipes.base import Plan, PrepareContext, Prepared, Recipe
from tests.books.drawn_pages import PAGES, SHEET, draw_page
from tests.books.drawn_photos import photo
from tests.books.identity.makers import FILES
from tests.comfyui.node import TestNode
from tests.conftest import Server
from tests.press.recipes import installed
from tests.service.build import wait_until

SETTINGS = BookSettings(allow_research_weights=True)
STYLE = Style(checkpoint="urn:air:sdxl:checkpoint:file:sdxl.safetensors")
SECRET = "a girl of 5 years with copper curls"
SIZE = (640, 640)


class PortraitInput(BaseModel):
    mode: TransferMode
    _planned: PicturePlan | None = PrivateAttr(default=None)


class Portraits(ProductParts):
    def __init__(self, context: ProductContext) -> None:
        self._modes = IdentityModes(SETTINGS, context.registry)
        self.recipes = (
            Recipe(
                name="portrait",
                input=PortraitInput,
                complete=lambda input_, resolver, path: input_,
                plan=self._plan,
                model=lambda input_: self._mode(input_).outline(SIZE).model.lower(),
                rate=Rate(base=1.0),
                prepare=self._prepare,
            ),
        )

    def _mode(self, input_: PortraitInput) -> Any:
        return open_mode(self._modes.choose(STYLE, input_.mode), SETTINGS)

    def _plan(self, input_: PortraitInput) -> Plan:
        planned = input_._planned or self._mode(input_).outline(SIZE)
        return Plan(
            planned.work, 1, data=planned.data, transform=planned.transform, size=None, leaves_nothing=True
        )

    def _prepare(self, input_: PortraitInput, context: PrepareContext) -> Prepared:
        request = PictureRequest(
            base=draw_page(PAGES[0]),
            targets=PAGES[0].targets,
            faces={"hero": photo(1)},
            size=SIZE,
            seed=3,
            reference=draw_page(SHEET),
            people={"hero": SECRET},
        )
        ready = input_.model_copy()
        ready._planned = self._mode(input_).plan(request)
        return Prepared(ready)


class PortraitProduct(Product):
    name = "portraits"

    def build(self, context: ProductContext) -> ProductParts:
        return Portraits(context)


@pytest.fixture
def node() -> Iterator[TestNode]:
    with TestNode(models=FILES) as built:
        yield built


@pytest.fixture
def server(node: TestNode, make_server: Callable[..., Server]) -> Iterator[Server]:
    with installed(PortraitProduct()):
        made = make_server(comfyui={"urls": [node.url], "health_s": 0.05})
        nodes = made.app.backends["comfyui"].nodes
        wait_until(lambda: all(each.healthy for each in nodes()))
        yield made


@pytest.mark.parametrize("mode", list(TransferMode))
def test_a_private_job_draws_the_face_and_leaves_nothing(
    server: Server, node: TestNode, mode: TransferMode
) -> None:
    submitter, jobs, owner = server.app.services.submitter, server.app.stores.jobs, server.app.settings.owner
    drafts = submitter.prepare(
        owner, [JobRequest("portrait", {"mode": mode.value}, private=True)], dialect="native"
    )
    (job,) = submitter.submit(owner, drafts).jobs
    wait_until(lambda: jobs.job(job.id).status.is_terminal, 60)
    ended = jobs.view(job.id)
    assert ended.job.error is None
    (artifact,) = ended.artifacts
    assert Image.open(io.BytesIO(server.app.blobs.get(artifact.blob_key))).size == SIZE
    assert ended.job.backend == ("press" if mode is TransferMode.LOCAL else "comfyui")
    assert bool(node.prompts) is (mode is not TransferMode.LOCAL)
    told = repr([ended.job, jobs.events_after(job.id, 0)])
    assert SECRET not in told
    assert "class_type" not in told
    for kind in ("input", "output"):
        assert not list(node.files.names(kind))
    wait_until(lambda: not large_files(node))
    assert not node._api.queue.history  # pyright: ignore[reportPrivateUsage]


def large_files(node: TestNode) -> list[str]:
    found = ((name, node.files.read("temp", folder, name)) for folder, name in list(node.files.names("temp")))
    return [name for name, stored in found if stored is not None and len(stored.data) > 100]
