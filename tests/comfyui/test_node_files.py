"""Uploads, pictures read back, and that pictures follow from their graph."""

import io
import json
from typing import Any

import pytest
from PIL import Image

from tests.comfyui import graphs
from tests.comfyui.client import Client, listening
from tests.comfyui.node import NEW, TestNode


def png(width: int = 8, height: int = 8, colour: Any = (255, 0, 0), mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def pictures(node: TestNode, client: Client, graph: Any) -> list[Image.Image]:
    with listening(node) as listener:
        prompt = client.submit(graph, listener.client)
        listener.until_end(prompt)
    assert node.ended[prompt] == "success", client.history(prompt)["status"]
    return [opened(answered.data) for answered in client.images(prompt)]


def test_an_upload_keeps_its_name_unless_other_bytes_have_it(client: Client, node: TestNode) -> None:
    red, blue = png(), png(colour=(0, 0, 255))
    assert client.upload("u.png", red).json == {"name": "u.png", "subfolder": "", "type": "input"}
    assert client.upload("u.png", red).json["name"] == "u.png"
    assert client.upload("u.png", blue).json["name"] == "u (1).png"
    assert client.upload("u.png", blue, overwrite="true").json["name"] == "u.png"
    assert client.get("/view", filename="u.png", type="input").data == blue
    assert [upload.name for upload in node.uploads] == ["u.png", "u.png", "u (1).png", "u.png"]


def test_an_upload_goes_where_it_is_told(client: Client) -> None:
    assert client.upload("a.png", png(), subfolder="a/b").json["subfolder"] == "a/b"
    assert client.get("/view", filename="a.png", type="input", subfolder="a/b").status == 200
    assert client.upload("a.png", png(), type="temp").json["type"] == "temp"
    assert client.upload("a.txt", b"no picture").status == 200


def test_a_bad_upload_is_refused(client: Client) -> None:
    assert client.upload("a.png", png(), type="bogus").status == 500
    assert client.upload("a.png", png(), subfolder="../..").status == 400
    assert client.upload("a.png", png(), field="picture").status == 400


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"filename": "none.png"}, 404),
        ({"filename": "../x.png"}, 400),
        ({"filename": "x.png", "subfolder": "../.."}, 403),
        ({"filename": "x.png", "type": "bogus"}, 400),
        ({}, 404),
    ],
)
def test_what_cannot_be_viewed_is_refused_as_recorded(
    client: Client, query: dict[str, str], status: int
) -> None:
    assert client.get("/view", **query).status == status


def test_a_picture_can_be_viewed_in_parts_by_its_tag_and_smaller(client: Client) -> None:
    data = png(64, 64)
    client.upload("a.png", data)
    where = {"filename": "a.png", "type": "input"}
    whole = client.get("/view", **where)
    assert (whole.data, whole.headers["content-type"]) == (data, "image/png")
    assert {"etag", "last-modified", "accept-ranges"} <= {name.lower() for name in whole.headers}
    part = client.get("/view", headers={"Range": "bytes=0-9"}, **where)
    assert (part.status, part.data, part.headers["content-range"]) == (
        206,
        data[:10],
        f"bytes 0-9/{len(data)}",
    )
    assert client.get("/view", headers={"If-None-Match": whole.headers["etag"]}, **where).status == 304
    assert client.head("/view", **where).headers["content-length"] == str(len(data))
    assert opened(client.get("/view", preview="webp;80", **where).data).format == "WEBP"


def test_saved_pictures_are_numbered_in_the_folder_of_their_prefix(node: TestNode, client: Client) -> None:
    node.files.write("output", "a", "p_00041_.png", b"x")
    for colour in (1, 2):
        pictures(node, client, graphs.solid(colour, prefix="a/p"))
    assert sorted(name for _, name in node.files.names("output")) == [
        "p_00041_.png",
        "p_00042_.png",
        "p_00043_.png",
    ]


def test_a_prefix_out_of_the_folder_is_an_error(node: TestNode, client: Client) -> None:
    with listening(node) as listener:
        prompt = client.submit(graphs.solid(prefix="../../x"), listener.client)
        listener.until_end(prompt)
    assert node.ended[prompt] == "error"


def test_an_empty_image_has_its_colour_and_carries_its_graph(node: TestNode, client: Client) -> None:
    graph = graphs.solid(0x123456, size=33)
    (picture,) = pictures(node, client, graph)
    assert (picture.size, picture.mode, picture.getcolors()) == (
        (33, 33),
        "RGB",
        [(33 * 33, (0x12, 0x34, 0x56))],
    )
    assert json.loads(picture.info["prompt"]) == graph


def test_a_batch_gives_as_many_pictures_of_the_latents_size(node: TestNode, client: Client) -> None:
    drawn = pictures(node, client, graphs.sd1(size=(72, 40), batch=3))
    assert [picture.size for picture in drawn] == [(72, 40)] * 3
    assert len({picture.tobytes() for picture in drawn}) == 3


def test_a_picture_depends_on_seed_text_model_and_lora_and_on_nothing_else(
    node: TestNode, client: Client
) -> None:
    lora = graphs.node(
        "LoraLoader",
        lora_name="lora_sd1.safetensors",
        strength_model=0.5,
        strength_clip=0.5,
        model=["4", 0],
        clip=["4", 1],
    )
    with_lora = graphs.changed({**graphs.sd1(), "10": lora}, "3", model=["10", 0])
    varied = [
        graphs.sd1(),
        graphs.sd1(seed=2),
        graphs.sd1(text="a blue whale"),
        graphs.sd1(checkpoint="sd1_b.safetensors"),
        with_lora,
    ]
    drawn = [pictures(node, client, graph)[0].tobytes() for graph in varied]
    assert len(set(drawn)) == len(varied)
    assert pictures(node, client, graphs.sd1(prefix="elsewhere"))[0].tobytes() == drawn[0]


def test_a_flux_graph_draws_at_its_size(node: TestNode, client: Client) -> None:
    (picture,) = pictures(node, client, graphs.flux(size=128))
    assert (picture.size, node.loads) == ((128, 128), ["flux_dev.safetensors"])


def test_a_picture_drawn_over_has_the_scaled_size_and_shows_through(node: TestNode, client: Client) -> None:
    client.upload("white.png", png(100, 50, (255, 255, 255)))
    (picture,) = pictures(node, client, graphs.sd1_from_picture("white.png", 96, 48))
    assert picture.size == (96, 48)
    assert all(low >= 0.4 * 255 - 2 for low, _ in picture.getextrema()), "two fifths of the white are left"


def test_inpainting_changes_only_what_is_masked(node: TestNode, client: Client) -> None:
    holed = Image.new("RGBA", (64, 64), (0, 255, 0, 255))
    holed.paste((0, 255, 0, 0), (0, 0, 32, 64))
    buffer = io.BytesIO()
    holed.save(buffer, "PNG")
    client.upload("holed.png", buffer.getvalue())
    graph = {
        **graphs.sd1(),
        "1": graphs.node("LoadImage", image="holed.png"),
        "5": graphs.node("VAEEncodeForInpaint", pixels=["1", 0], vae=["4", 2], mask=["1", 1], grow_mask_by=6),
    }
    (picture,) = pictures(node, client, graph)
    assert picture.crop((32, 0, 64, 64)).getcolors() == [(32 * 64, (0, 255, 0))]
    assert (0, 255, 0) not in {colour for _, colour in picture.crop((0, 0, 32, 64)).getcolors()}


def test_an_upscaler_control_net_and_other_core_nodes_run(node: TestNode, client: Client) -> None:
    client.upload("pose.png", png(64, 64))
    graph = {
        **graphs.sd1(),
        "1": graphs.node("LoadImage", image="pose.png"),
        "11": graphs.node("ControlNetLoader", control_net_name="control_canny_sd1.safetensors"),
        "12": graphs.node("Canny", image=["1", 0], low_threshold=0.4, high_threshold=0.8),
        "13": graphs.node(
            "ControlNetApplyAdvanced",
            positive=["6", 0],
            negative=["7", 0],
            control_net=["11", 0],
            image=["12", 0],
            strength=0.8,
            start_percent=0.0,
            end_percent=1.0,
        ),
        "14": graphs.node("UpscaleModelLoader", model_name="2x_any.safetensors"),
        "15": graphs.node("ImageUpscaleWithModel", upscale_model=["14", 0], image=["8", 0]),
        "16": graphs.node("CLIPSetLastLayer", clip=["4", 1], stop_at_clip_layer=-2),
    }
    graph = graphs.changed(
        graphs.changed(graph, "3", positive=["13", 0], negative=["13", 1]), "6", clip=["16", 0]
    )
    (picture,) = pictures(node, client, graphs.changed(graph, "9", images=["15", 0]))
    assert picture.size == (128, 128)


def test_typed_nodes_of_the_newer_release_run(new_node: TestNode, new_client: Client) -> None:
    graph = {
        "1": graphs.node("EmptyImage", width=64, height=64, batch_size=1, color=255),
        "2": graphs.node("EmptyImage", width=64, height=64, batch_size=1, color=65280),
        "3": graphs.node("BatchImagesNode", **{"images.image0": ["1", 0], "images.image1": ["2", 0]}),
        "4": graphs.node(
            "ResizeImageMaskNode",
            input=["3", 0],
            resize_type="scale by multiplier",
            scale_method="area",
            **{"resize_type.multiplier": 0.5},
        ),
        "5": graphs.node(
            "SaveAnimatedWEBP",
            images=["4", 0],
            filename_prefix="film",
            fps=4.0,
            lossless=True,
            quality=80,
            method="default",
        ),
    }
    (film,) = pictures(new_node, new_client, graph)
    assert (film.size, film.n_frames) == ((32, 32), 2)


def test_a_loaded_picture_counts_by_its_bytes_in_the_cache(node: TestNode, client: Client) -> None:
    graph = {
        "1": graphs.node("LoadImage", image="a.png"),
        "2": graphs.node("SaveImage", images=["1", 0], filename_prefix="x"),
    }
    for colour in ((255, 0, 0), (0, 0, 255)):
        client.upload("a.png", png(colour=colour), overwrite="true")
        (picture,) = pictures(node, client, graph)
        assert picture.getpixel((0, 0)) == colour


def test_the_server_tells_what_it_is_and_has(node: TestNode, client: Client) -> None:
    stats = client.get("/system_stats").json
    assert stats["system"]["comfyui_version"] == node.version
    assert set(stats["devices"][0]) >= {"name", "type", "index", "vram_total", "vram_free"}
    assert client.get("/models/checkpoints").json == [
        "sd1.safetensors",
        "sd1_b.safetensors",
        "sdxl.safetensors",
    ]
    assert client.get("/models/bogus").status == 404
    assert client.get("/embeddings").json == ["badhands"]
    assert client.get("/api/experiment/models/loras").json[0]["name"] == "lora_flux.safetensors"
    assert client.get("/features").json["max_upload_size"] == 100 * 2**20
    assert ("node_replacements" in client.get("/features").json) == (node.version == NEW)


def test_foreign_pages_are_refused(node: TestNode, client: Client) -> None:
    assert client.get("/queue", headers={"Origin": "http://evil.example"}).status == 403
    assert client.get("/queue", headers={"Origin": node.url}).status == 200
    crossed = client.get("/queue", headers={"Sec-Fetch-Site": "cross-site"}).status
    assert crossed == (403 if node.version == NEW else 200)
