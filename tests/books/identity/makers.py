"""The three ways of putting a face onto a page, run for real: by a child process of the press, or by the test
node of ComfyUI and a confined process."""

import io
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image

from imagemill.backends.base import Backend, RenderControl, RenderRequest
from imagemill.backends.press.backend import Press
from imagemill.media.sandbox import DecoderPool, transform_limits
from imagemill.media.transforms import TransformContext
from imagemill.products.books.book_manifest import TransferMode
from imagemill.products.books.identity.base import IdentityChoice, IdentityMode, PicturePlan, PictureRequest
from imagemill.products.books.identity.modes import open_mode
from imagemill.products.books.settings import BookSettings
from tests.backends.comfyui.support import backend, until
from tests.comfyui.catalogue_packs import IPADAPTER
from tests.comfyui.node import TestNode

PIXELS = 64_000_000
CONTEXT = TransformContext("job", 1, 1_796_000_000_000_000, 1, "", "owner")
QWEN = IdentityChoice(
    TransferMode.EDIT,
    "urn:air:qwen:checkpoint:file:qwen_image_edit_2511_fp8mixed.safetensors",
    "qwen_image_edit_2511_fp8mixed.safetensors",
    "qwen-edit",
    "2511",
)
KLEIN = IdentityChoice(
    TransferMode.EDIT,
    "urn:air:flux2:checkpoint:file:flux-2-klein-4b.safetensors",
    "flux-2-klein-4b.safetensors",
    "flux2-klein",
    "4b",
)
ADAPTER = IdentityChoice(
    TransferMode.IPADAPTER,
    "urn:air:sdxl:checkpoint:file:sdxl.safetensors",
    "sdxl.safetensors",
    "sdxl",
    "base",
)
LOCAL = IdentityChoice(TransferMode.LOCAL)
CHOICES = {"local": LOCAL, "edit with Qwen": QWEN, "edit with FLUX.2 klein": KLEIN, "ipadapter": ADAPTER}
FILES = {
    "checkpoints": ["sdxl.safetensors"],
    "diffusion_models": [QWEN.model_path, KLEIN.model_path],
    "text_encoders": ["qwen_2.5_vl_7b_fp8_scaled.safetensors", "qwen_3_4b.safetensors"],
    "vae": ["qwen_image_vae.safetensors", "flux2-vae.safetensors"],
    "loras": ["ink.safetensors"],
    "custom_nodes": [IPADAPTER],
}


@dataclass
class Maker:
    """Runs the plans of one mode."""

    mode: IdentityMode
    backend: Backend
    pool: DecoderPool
    node: TestNode | None

    def order(self, plan: PicturePlan, reference: str = "") -> RenderRequest:
        return RenderRequest(
            job_id="job",
            attempt=1,
            reference=reference or str(uuid.uuid4()),
            node=self.backend.nodes()[0].name,
            work=plan.work,
            timeout_s=60.0,
            inputs=plan.data,
            leaves_nothing=True,
        )

    def make(self, request: PictureRequest) -> bytes:
        plan = self.mode.plan(request)
        asked = self.order(plan)
        rendered = self.backend.follow(asked, self.backend.send(asked), RenderControl())
        (output,) = rendered.outputs
        if plan.transform is None:
            return output.data
        (file,) = self.pool.transform(plan.transform, output.data, CONTEXT)
        return file.data

    def kept(self) -> Mapping[str, list[tuple[int, int]]]:
        """The sizes of the pictures that lie on the node, by folder; blank ones of one pixel are left out."""
        found: dict[str, list[tuple[int, int]]] = {}
        if self.node is None:
            return found
        for kind in ("input", "output", "temp"):
            for subfolder, name in list(self.node.files.names(kind)):
                stored = self.node.files.read(kind, subfolder, name)
                size = Image.open(io.BytesIO(stored.data)).size if stored is not None else (1, 1)
                if size != (1, 1):
                    found.setdefault(kind, []).append(size)
        return found


@contextmanager
def maker_of(choice: IdentityChoice) -> Iterator[Maker]:
    mode = open_mode(choice, BookSettings())
    pool = DecoderPool(transform_limits(PIXELS, 60.0), os.cpu_count())
    try:
        if choice.mode is TransferMode.LOCAL:
            press = Press(1)
            yield Maker(mode, press, pool, None)
            press.close()
        else:
            with TestNode(models=FILES) as node:
                comfy = backend(node)
                until(lambda: comfy.nodes()[0].healthy, "the node is well")
                yield Maker(mode, comfy, pool, node)
                comfy.close()
    finally:
        pool.close()
