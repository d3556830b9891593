"""Models of newer families on a node, from files of their own."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.domain.images import ImageSpec, VideoLength
from imagemill.domain.nodes import NodeConfig
from imagemill.graphs.families.table import load_families
from tests.backends.comfyui.support import backend, order, render, settings, spec, wait_well
from tests.comfyui.node import TestNode

FILES = {
    "diffusion_models": [
        "z_image_turbo_bf16.safetensors", "flux-2-klein-4b.safetensors", "wan2.2_ti2v_5B_fp16.safetensors",
        "rabbit_z_image.safetensors",
    ],
    "text_encoders": ["qwen_3_4b.safetensors", "umt5_xxl_fp8.safetensors"],
    "vae": ["ae.safetensors", "flux2-vae.safetensors", "wan2.2_vae.safetensors"],
}  # fmt: skip


@pytest.fixture
def node() -> Iterator[TestNode]:
    with TestNode(models=FILES) as built:
        yield built


@pytest.fixture
def comfy(node: TestNode) -> Iterator[ComfyUI]:
    built = backend(node)
    yield built
    built.close()


def asked(family: str, file: str) -> ImageSpec:
    model = f"urn:air:{family}:checkpoint:file:{file}"
    return replace(spec(), family=family, model=model, model_path=file, cfg_scale=1.0, steps=2)


def test_a_diffusion_model_is_drawn_with_its_encoder_and_vae(comfy: ComfyUI, node: TestNode) -> None:
    work = asked("zimageturbo", "z_image_turbo_bf16.safetensors")
    assert comfy.unsupported_reason(work) is None
    result = render(comfy, order(work))
    (output,) = result.outputs
    assert Image.open(io.BytesIO(output.data)).size == (64, 64)


def test_a_reference_picture_gives_the_size(comfy: ComfyUI) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (512, 256), "red").save(buffer, "PNG")
    work = replace(asked("flux2", "flux-2-klein-4b.safetensors"), references=("fox",), size_of_reference=True)
    (output,) = render(comfy, replace(order(work), inputs={"fox": buffer.getvalue()})).outputs
    width, height = Image.open(io.BytesIO(output.data)).size
    assert width == pytest.approx(2 * height, rel=0.02)
    assert width * height == pytest.approx(1024 * 1024, rel=0.05)


def test_a_video_has_a_poster(comfy: ComfyUI) -> None:
    work = replace(
        asked("wan22-5b", "wan2.2_ti2v_5B_fp16.safetensors"), cfg_scale=5.0, video=VideoLength(5, 24.0)
    )
    outputs = {each.media_type: each.data for each in render(comfy, order(work)).outputs}
    assert set(outputs) == {"video/mp4", "image/png"}
    assert json.loads(outputs["video/mp4"][24:]) == {"frames": 5, "fps": 24.0, "size": [64, 64]}
    assert Image.open(io.BytesIO(outputs["image/png"])).size == (64, 64)


def test_a_missing_vae_is_named_with_its_folder() -> None:
    files = {**FILES, "vae": ["flux2-vae.safetensors"]}
    with TestNode(models=files) as node:
        built = backend(node)
        reason = built.unsupported_reason(asked("zimageturbo", "z_image_turbo_bf16.safetensors")) or ""
        built.close()
    assert "the VAE ae.safetensors in models/vae" in reason


def test_a_family_of_the_data_folder_is_drawn(node: TestNode, tmp_path: Path) -> None:
    row = '[rabbit]\ntitle = "Rabbit"\necosystems = ["rabbit"]\nextends = "zimage.turbo"\n'
    (tmp_path / "families.toml").write_text(row, encoding="utf-8")
    built = ComfyUI(settings(), families=load_families(tmp_path))
    built.configure([NodeConfig("a", node.url)])
    wait_well(built)
    work = asked("rabbit", "rabbit_z_image.safetensors")
    assert built.unsupported_reason(work) is None
    assert len(render(built, order(work)).outputs) == 1
    built.close()
