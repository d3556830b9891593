"""The choice between the ways of drawing a face, by what the nodes have and the settings allow."""

from typing import Any

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.families.table import built_in
from imagemill.graphs.node_models import NodeModels
from imagemill.model_registry.names import InstalledModels
from imagemill.model_registry.registry import Registry
from imagemill.products.books.book_manifest import Style, StyleLora, TransferMode
from imagemill.products.books.identity.base import IdentityChoice, NoIdentityMode
from imagemill.products.books.identity.modes import READ_NODES_S, IdentityModes, open_mode
from imagemill.products.books.settings import BookSettings
from tests.comfyui.catalogue_images import Catalogue as NodeCatalogue
from tests.comfyui.catalogue_packs import IPADAPTER

QWEN_2511, QWEN_2509 = (
    "qwen_image_edit_2511_fp8mixed.safetensors",
    "qwen_image_edit_2509_fp8_e4m3fn.safetensors",
)
KLEIN_4B, KLEIN_9B = "flux-2-klein-4b.safetensors", "flux-2-klein-9b-fp8.safetensors"
KONTEXT = "flux1-dev-kontext_fp8_scaled.safetensors"
COMPANIONS = {
    "text_encoders": [
        "qwen_2.5_vl_7b_fp8_scaled.safetensors",
        "qwen_3_4b.safetensors",
        "qwen_3_8b_fp8mixed.safetensors",
        "clip_l.safetensors",
        "t5xxl_fp16.safetensors",
    ],
    "vae": ["qwen_image_vae.safetensors", "flux2-vae.safetensors", "ae.safetensors"],
}
SDXL = Style(checkpoint="urn:air:sdxl:checkpoint:file:toon.safetensors")


def node(name: str = "a", **files: list[str]) -> NodeModels:
    known = NodeCatalogue(True, {**COMPANIONS, **files})
    classes = {each: known.describe(each) for each in known.names()}
    return NodeModels(name, Catalogue.read(classes, embeddings=[]))


def modes(store: Stores, *nodes: NodeModels, **settings: Any) -> IdentityModes:
    installed = InstalledModels(lambda: nodes, built_in())
    registry = Registry(store.resources, strict=True, is_available=lambda _: False, installed=installed)
    return IdentityModes(BookSettings(**settings), registry)


def refusal(chosen: IdentityModes, mode: TransferMode, style: Style = SDXL, faces: int = 1) -> str:
    with pytest.raises(NoIdentityMode) as refused:
        chosen.choose(style, mode, faces)
    return str(refused.value)


def test_the_best_edit_model_is_chosen(store: Stores) -> None:
    chosen = modes(store, node(diffusion_models=[KLEIN_4B, QWEN_2509, QWEN_2511])).choose(SDXL)
    assert chosen == IdentityChoice(
        TransferMode.EDIT,
        f"urn:air:qwen-edit:checkpoint:file:{QWEN_2511}",
        QWEN_2511,
        "qwen-edit",
        "2511",
    )


def test_a_node_with_the_smaller_model_only(store: Stores) -> None:
    chosen = modes(store, node(diffusion_models=[KLEIN_9B, KLEIN_4B])).choose(SDXL)
    assert (chosen.model_path, chosen.variant) == (KLEIN_4B, "4b")


def test_a_model_without_its_text_encoder_is_not_chosen(store: Stores) -> None:
    lacking = node(diffusion_models=[QWEN_2511, KLEIN_4B], text_encoders=["qwen_3_4b.safetensors"])
    assert modes(store, lacking).choose(SDXL).model_path == KLEIN_4B
    alone = node(diffusion_models=[QWEN_2511], text_encoders=[])
    assert "qwen_2.5_vl_7b_fp8_scaled.safetensors" in refusal(modes(store, alone), TransferMode.EDIT)


def test_without_nodes_the_face_is_put_on_locally(store: Stores) -> None:
    assert modes(store).choose(SDXL) == IdentityChoice(TransferMode.LOCAL)


def test_the_order_of_the_settings_decides(store: Stores) -> None:
    both = node(diffusion_models=[QWEN_2511])
    order = (TransferMode.LOCAL, TransferMode.EDIT)
    assert modes(store, both, modes=order).choose(SDXL).mode is TransferMode.LOCAL


def test_the_way_of_the_page_comes_before_the_order(store: Stores) -> None:
    both = node(diffusion_models=[QWEN_2511])
    assert modes(store, both).choose(SDXL, TransferMode.LOCAL).mode is TransferMode.LOCAL


def test_a_refusal_names_what_each_way_lacks(store: Stores) -> None:
    order = (TransferMode.EDIT, TransferMode.IPADAPTER)
    with pytest.raises(NoIdentityMode) as refused:
        modes(store, node(), modes=order).choose(SDXL)
    assert "no ComfyUI node has an edit model" in str(refused.value)
    assert "IMAGEMILL_BOOKS__ALLOW_RESEARCH_WEIGHTS=true" in str(refused.value)


@pytest.mark.parametrize("name", [KLEIN_9B, KONTEXT])
def test_a_model_that_may_not_be_sold_with_is_refused_unless_it_is_allowed(store: Stores, name: str) -> None:
    with_it = node(diffusion_models=[name])
    refused = refusal(modes(store, with_it, edit_model=name), TransferMode.EDIT)
    assert "non-commercial" in refused
    assert "IMAGEMILL_BOOKS__ALLOW_NONCOMMERCIAL_MODELS=true" in refused


def test_a_licence_that_was_bought(store: Stores) -> None:
    with_it = node(diffusion_models=[KLEIN_9B])
    settings = {"edit_model": KLEIN_9B, "allow_noncommercial_models": True}
    assert modes(store, with_it, **settings).choose(SDXL, TransferMode.EDIT).variant == "9b"


def test_the_named_edit_model_is_taken(store: Stores) -> None:
    both = node(diffusion_models=[QWEN_2511, KLEIN_4B])
    assert modes(store, both, edit_model=KLEIN_4B).choose(SDXL).model_path == KLEIN_4B


@pytest.mark.parametrize(
    ("name", "reason"),
    [("toon.safetensors", "takes no pictures of people"), ("absent.safetensors", "no node has")],
)
def test_an_edit_model_that_cannot_be_used(store: Stores, name: str, reason: str) -> None:
    with_others = node(checkpoints=["toon.safetensors"], diffusion_models=[QWEN_2511])
    assert reason in refusal(modes(store, with_others, edit_model=name), TransferMode.EDIT)


def test_more_people_than_a_model_takes_pictures_of(store: Stores) -> None:
    qwen = modes(store, node(diffusion_models=[QWEN_2511]))
    assert qwen.choose(SDXL, faces=2).mode is TransferMode.EDIT
    assert "3 people" in refusal(qwen, TransferMode.EDIT, faces=3)
    assert qwen.choose(SDXL, faces=3).mode is TransferMode.LOCAL


def test_pages_wait_until_the_nodes_are_read_but_not_for_ever(store: Stores) -> None:
    now, unread = [0.0], NodeModels("a", None)
    installed = InstalledModels(lambda: (unread,), built_in())
    registry = Registry(store.resources, strict=True, is_available=lambda _: False, installed=installed)
    chosen = IdentityModes(BookSettings(), registry, lambda: now[0])
    assert chosen.choose(SDXL, TransferMode.LOCAL).mode is TransferMode.LOCAL
    with pytest.raises(NoIdentityMode, match="models of a have not been read yet"):
        chosen.choose(SDXL)
    now[0] = READ_NODES_S
    assert chosen.choose(SDXL).mode is TransferMode.LOCAL


# IPAdapter.


def with_pack(name: str = "a", **files: list[str]) -> NodeModels:
    return node(name, custom_nodes=[IPADAPTER], **{"checkpoints": ["toon.safetensors"], **files})


def test_research_weights_need_a_setting(store: Stores) -> None:
    refused = refusal(modes(store, with_pack()), TransferMode.IPADAPTER)
    assert "research only" in refused
    assert "IMAGEMILL_BOOKS__ALLOW_RESEARCH_WEIGHTS=true" in refused


def test_a_node_with_the_pack_and_the_books_checkpoint(store: Stores) -> None:
    style = SDXL.model_copy(
        update={"loras": (StyleLora(air="urn:air:sdxl:lora:file:ink.safetensors", strength=0.7),)}
    )
    able = modes(store, with_pack(loras=["ink.safetensors"]), allow_research_weights=True)
    assert able.choose(style, TransferMode.IPADAPTER) == IdentityChoice(
        TransferMode.IPADAPTER,
        "urn:air:sdxl:checkpoint:file:toon.safetensors",
        "toon.safetensors",
        "sdxl",
        "base",
        (("ink.safetensors", 0.7),),
    )


@pytest.mark.parametrize(
    ("nodes", "style", "reason"),
    [
        ((node(checkpoints=["toon.safetensors"]),), SDXL, "no ComfyUI node has IPAdapterUnifiedLoaderFaceID"),
        (
            (with_pack(checkpoints=[]), node("b", checkpoints=["toon.safetensors"])),
            SDXL,
            "toon.safetensors is missing on the nodes with the pack: a",
        ),
        ((with_pack(),), Style(checkpoint="urn:air:sdxl:checkpoint:civitai:1@2"), "is not registered"),
        (
            (with_pack(diffusion_models=[KLEIN_4B]),),
            Style(checkpoint=f"urn:air:flux2:checkpoint:file:{KLEIN_4B}"),
            "draws with sd1 and sdxl only",
        ),
    ],
)
def test_what_ipadapter_needs(
    store: Stores, nodes: tuple[NodeModels, ...], style: Style, reason: str
) -> None:
    able = modes(store, *nodes, allow_research_weights=True)
    assert reason in refusal(able, TransferMode.IPADAPTER, style)


def test_a_book_without_a_checkpoint_takes_the_default_one(store: Stores) -> None:
    node_ = with_pack(checkpoints=["sd_xl_base_1.0.safetensors", "flux1-dev-fp8.safetensors"])
    able = modes(store, node_, allow_research_weights=True)
    assert able.choose(Style(), TransferMode.IPADAPTER).model_path == "sd_xl_base_1.0.safetensors"


def test_a_choice_opens_without_nodes(store: Stores) -> None:
    for files in ([QWEN_2511], [KLEIN_4B], []):
        chosen = modes(store, node(diffusion_models=files)).choose(SDXL)
        assert open_mode(chosen, BookSettings()).choice == chosen
