"""The graphs of faces on nodes: accepted by ComfyUI's own declarations, with the values that were decided."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from imagemill.domain.images import GraphSpec, ImageSpec
from imagemill.graphs.builder import build
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.families.table import built_in
from imagemill.graphs.graph import Graph
from imagemill.products.books.book_manifest import TransferMode
from imagemill.products.books.identity.base import IdentityChoice, IdentityMode, PictureRequest
from imagemill.products.books.identity.edit import EditMode, ScalePicture, most_people
from imagemill.products.books.identity.modes import open_mode
from imagemill.products.books.identity.paste import PasteBack
from imagemill.products.books.settings import BookSettings
from tests.books.drawn_pages import PAGES, SHEET, draw_page
from tests.books.drawn_photos import photo
from tests.books.identity.makers import ADAPTER, KLEIN, QWEN
from tests.comfyui.catalogue_images import Catalogue as NodeCatalogue
from tests.comfyui.catalogue_packs import IPADAPTER
from tests.families.test_graphs import files_of_everything

EDIT_VARIANTS = [
    (family.name, name, variant.files[0])
    for family in built_in()
    if family.name in ("qwen-edit", "flux2-klein")
    for name, variant in family.variants.items()
    if most_people(variant) > 0  # the oldest one takes a single picture, and is never chosen
]


def request_for(**changes: Any) -> PictureRequest:
    values: dict[str, Any] = {
        "base": draw_page(PAGES[0]),
        "targets": PAGES[0].targets,
        "faces": {"hero": photo(1)},
        "size": (640, 640),
        "seed": 42,
        "reference": draw_page(SHEET),
        "prompt": "the child flies a kite",
        "negative_prompt": "rain",
        "people": {"hero": "a girl of 5 years, red hair"},
        "feedback": "a bigger smile",
    }
    return PictureRequest(**(values | changes))


def two_children() -> PictureRequest:
    left, right = SHEET.targets[0], replace(SHEET.targets[1], character="friend")
    faces = {"hero": photo(1), "friend": photo(2)}
    return request_for(base=draw_page(SHEET), targets=(left, right), faces=faces)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """A node of 0.33 with the files of every family, and the pack."""
    files = files_of_everything() | {"custom_nodes": [IPADAPTER]}
    files["checkpoints"] = [*files["checkpoints"], "sdxl.safetensors", "sd1.safetensors"]
    known = NodeCatalogue(True, files, ["picture.png"])
    return Catalogue.read({name: known.describe(name) for name in known.names()}, embeddings=[])


def graph_of(mode: IdentityMode, request: PictureRequest, catalogue: Catalogue) -> Graph:
    work = mode.plan(request).work
    if isinstance(work, GraphSpec):
        return {
            id_: {**node, "inputs": node["inputs"] | ({"image": "picture.png"} if _loads(node) else {})}
            for id_, node in work.graph.items()
        }
    assert isinstance(work, ImageSpec)
    pictures = dict.fromkeys(mode.plan(request).data, "picture.png")
    return build(work, catalogue, prefix="x", images=pictures)


def _loads(node: Mapping[str, Any]) -> bool:
    return node["class_type"] == "LoadImage"


def of_class(graph: Graph, class_type: str) -> list[dict[str, Any]]:
    return [node["inputs"] for node in graph.values() if node["class_type"] == class_type]


# An edit model.


@pytest.mark.parametrize(("family", "variant", "file"), EDIT_VARIANTS)
def test_every_edit_model_gets_a_graph_that_its_node_accepts(
    catalogue: Catalogue, family: str, variant: str, file: str
) -> None:
    mode = EditMode(IdentityChoice(TransferMode.EDIT, "urn:air:x", file, family, variant), built_in())
    graph = graph_of(mode, request_for(), catalogue)
    assert catalogue.faults(graph) == []


def test_the_graph_of_qwen_image_edit_2511(catalogue: Catalogue) -> None:
    graph = graph_of(open_mode(QWEN, BookSettings()), request_for(), catalogue)
    (encoded, _) = of_class(graph, "TextEncodeQwenImageEditPlus")
    assert {"image1", "image2", "image3"} <= encoded.keys()
    methods = of_class(graph, "FluxKontextMultiReferenceLatentMethod")
    assert {each["reference_latents_method"] for each in methods} == {"index_timestep_zero"}
    assert of_class(graph, "CFGNorm")[0]["strength"] == 1.0
    (sampler,) = of_class(graph, "KSampler")
    assert (sampler["seed"], sampler["steps"], sampler["cfg"], sampler["denoise"]) == (42, 40, 4.0, 1.0)


def test_the_graph_of_flux2_klein_4b(catalogue: Catalogue) -> None:
    graph = graph_of(open_mode(KLEIN, BookSettings()), request_for(), catalogue)
    assert len(of_class(graph, "ReferenceLatent")) == 6
    assert of_class(graph, "Flux2Scheduler")[0]["steps"] == 4
    assert of_class(graph, "RandomNoise")[0]["noise_seed"] == 42


def test_the_pictures_are_the_crop_the_approved_sheet_and_the_photo() -> None:
    request = request_for()
    plan = open_mode(QWEN, BookSettings()).plan(request)
    assert list(plan.data) == ["page", "reference", "face.hero"]
    assert plan.data["reference"] == request.reference
    assert plan.data["face.hero"] == request.faces["hero"]
    assert isinstance(plan.transform, PasteBack)
    assert plan.queue == "gpu"
    assert plan.model == QWEN.model


def test_two_children_leave_no_room_for_the_sheet_on_qwen() -> None:
    assert list(open_mode(QWEN, BookSettings()).plan(two_children()).data) == [
        "page",
        "face.hero",
        "face.friend",
    ]
    assert list(open_mode(KLEIN, BookSettings()).plan(two_children()).data) == [
        "page",
        "reference",
        "face.hero",
        "face.friend",
    ]


@pytest.mark.parametrize("changes", [{"whole": True}, {"reference": None}])
def test_a_whole_picture_is_drawn_anew(changes: dict[str, Any]) -> None:
    request = request_for(**changes)
    plan = open_mode(QWEN, BookSettings()).plan(request)
    assert plan.data["page"] == request.base
    assert plan.transform == ScalePicture((640, 640))


def prompt_for(request: PictureRequest, choice: IdentityChoice = QWEN) -> str:
    work = open_mode(choice, BookSettings()).plan(request).work
    assert isinstance(work, ImageSpec)
    return work.prompt


def test_the_instruction_names_pictures_people_and_wishes() -> None:
    prompt = prompt_for(request_for())
    for words in (
        "picture 1 is a part of a page",
        "the approved drawing in picture 2",
        "the photo in picture 3",
        "a girl of 5 years, red hair.",
        "the child flies a kite.",
        "a bigger smile.",
    ):
        assert words in prompt
    assert "image 1 is" in prompt_for(request_for(), KLEIN)


def test_the_hair_changes_where_the_mask_may_reach_over_it() -> None:
    request = request_for()
    masked = tuple(replace(target, mask=draw_page(SHEET)) for target in request.targets)
    assert "Change only the faces of the people" in prompt_for(request)
    assert "direction of view, hair, clothes" in prompt_for(request)
    for other in (replace(request, targets=masked), replace(request, whole=True)):
        assert "Change only the faces and the hair of the people" in prompt_for(other)
        assert "direction of view, clothes" in prompt_for(other)


def test_the_instruction_for_the_sheet_asks_for_three_views() -> None:
    prompt = prompt_for(request_for(base=draw_page(SHEET), targets=SHEET.targets, reference=None))
    assert "a front view, a three-quarter view and a full figure" in prompt
    assert "the photo in picture 2" in prompt
    assert "approved" not in prompt


def test_the_instruction_for_two_children_tells_them_apart() -> None:
    request = two_children()
    turned = replace(request, targets=request.targets[::-1])
    for each in (request, turned):
        prompt = prompt_for(replace(each, hero="hero"), KLEIN)
        assert (
            "Person 1 from the left has the face of the approved drawing in image 2 and the photo" in prompt
        )
        assert "Person 2 from the left has the face of the photo in image 4." in prompt
        data = open_mode(QWEN, BookSettings()).plan(each).data
        assert list(data) == ["page", "face.hero", "face.friend"]


def test_texts_cannot_load_embeddings_or_break_lines() -> None:
    prompt = prompt_for(request_for(feedback="embedding:evil\n\nmore", people={"hero": "embedding:worse"}))
    assert "embedding:" not in prompt
    assert "\n" not in prompt


# IPAdapter.


def adapters() -> Iterator[Any]:
    sd1 = replace(ADAPTER, model_path="sd1.safetensors", family="sd1")
    yield pytest.param(ADAPTER, request_for, id="sdxl")
    yield pytest.param(sd1, request_for, id="sd1")
    yield pytest.param(replace(ADAPTER, loras=(("ink.safetensors", 0.7),)), request_for, id="lora")
    yield pytest.param(ADAPTER, two_children, id="two-children")


@pytest.mark.parametrize(("choice", "make"), list(adapters()))
def test_the_pack_accepts_the_graph(catalogue: Catalogue, choice: IdentityChoice, make: Any) -> None:
    graph = graph_of(open_mode(choice, BookSettings()), make(), catalogue)
    assert catalogue.faults(graph) == []


def test_the_values_of_the_ipadapter_graph(catalogue: Catalogue) -> None:
    settings = BookSettings(ipadapter_strength_scale=0.8)
    graph = graph_of(open_mode(ADAPTER, settings), request_for(), catalogue)
    (face,) = of_class(graph, "IPAdapterFaceID")
    assert face["weight"] == pytest.approx(0.88)
    assert (face["weight_faceidv2"], face["weight_type"]) == (1.0, "ease in-out")
    assert of_class(graph, "IPAdapterUnifiedLoaderFaceID")[0]["preset"] == "FACEID PLUS V2"
    (sampler,) = of_class(graph, "KSampler")
    expected = {
        "seed": 42,
        "steps": 30,
        "cfg": 4.0,
        "sampler_name": "dpmpp_2m_sde_gpu",
        "scheduler": "exponential",
        "denoise": 0.6,
    }
    assert expected.items() <= sampler.items()
    texts = [node["text"] for node in of_class(graph, "CLIPTextEncode")]
    assert texts[0] == "the child flies a kite, a girl of 5 years, red hair, a bigger smile"
    assert texts[1].startswith("rain, ")


def test_each_child_is_drawn_within_the_own_mask(catalogue: Catalogue) -> None:
    graph = graph_of(open_mode(ADAPTER, BookSettings()), two_children(), catalogue)
    first, second = of_class(graph, "IPAdapterFaceID")
    (noise,) = of_class(graph, "SetLatentNoiseMask")
    assert len({str(link) for link in (first["attn_mask"], second["attn_mask"], noise["mask"])}) == 3
    plan = open_mode(ADAPTER, BookSettings()).plan(two_children())
    assert len({plan.data[name] for name in ("mask", "mask.0", "mask.1")}) == 3
