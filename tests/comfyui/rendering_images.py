"""What the classes of pictures and masks do, saving among them."""

import io
import json
import math
from typing import Any

from PIL import Image, ImageChops, ImageFilter, ImageOps, UnidentifiedImageError

from tests.comfyui import pictures
from tests.comfyui.pictures import Picture
from tests.comfyui.rendering import Inputs, Outputs, Run, does
from tests.comfyui.values import Images, NodeFailed

INPUT_FOLDER = "/srv/comfyui/input"
CHANNELS = {"red": "R", "green": "G", "blue": "B", "alpha": "A"}
RESAMPLING = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
UPSCALER_FACTOR = 4  # of every upscale model here, unless its name begins with another, as in `2x_`


@does("LoadImage")
def load_image(run: Run, given: Inputs) -> Outputs:
    loaded = _opened(run, given["image"])
    # Without transparency the server's mask is empty and 64 pixels wide.
    mask = ImageChops.invert(loaded.getchannel("A")) if "A" in loaded.getbands() else Image.new("L", (64, 64))
    return [Picture(loaded.convert("RGB"))], [mask]


@does("LoadImageMask")
def load_mask(run: Run, given: Inputs) -> Outputs:
    channel = CHANNELS[given["channel"]]
    loaded = _opened(run, given["image"])
    if channel not in loaded.getbands():
        loaded = loaded.convert("RGBA")
    mask = loaded.getchannel(channel)
    return ([ImageChops.invert(mask) if channel == "A" else mask],)


@does("EmptyImage")
def empty_image(run: Run, given: Inputs) -> Outputs:
    return ([pictures.flat(given["width"], given["height"], given["color"])] * given["batch_size"],)


@does("LabPartnerImage")
def partner_image(run: Run, given: Inputs) -> Outputs:
    run.pay()
    return ([pictures.flat(64, 64, given["seed"])],)


@does("ImageScale")
def scale(run: Run, given: Inputs) -> Outputs:
    return ([_scaled(one, given) for one in given["image"]],)


@does("ImageScaleBy")
def scale_by(run: Run, given: Inputs) -> Outputs:
    return (_grown(given["image"], given["scale_by"], given["upscale_method"]),)


@does("ImageScaleToTotalPixels")
def scale_to_pixels(run: Run, given: Inputs) -> Outputs:
    width, height = given["image"][0].size
    factor = math.sqrt(given["megapixels"] * 1024 * 1024 / (width * height))
    return (_grown(given["image"], factor, given["upscale_method"]),)


@does("ResizeImageMaskNode")
def resize(run: Run, given: Inputs) -> Outputs:
    images, kind = given["input"], given["resize_type"]
    if kind == "scale by multiplier":
        return (_grown(images, given["resize_type.multiplier"], given["scale_method"]),)
    if kind == "scale longer dimension":
        factor = given["resize_type.longer_size"] / max(images[0].size)
        return (_grown(images, factor, given["scale_method"]),)
    size = (given["resize_type.width"], given["resize_type.height"])
    return ([Picture(one.image.resize(size, RESAMPLING[given["scale_method"]])) for one in images],)


@does("ImageUpscaleWithModel")
def upscale(run: Run, given: Inputs) -> Outputs:
    first = given["upscale_model"].partition("x")[0]
    return (_grown(given["image"], int(first) if first.isdigit() else UPSCALER_FACTOR, "bicubic"),)


@does("ImageInvert")
def invert(run: Run, given: Inputs) -> Outputs:
    return ([Picture(ImageChops.invert(one.image)) for one in given["image"]],)


@does("ImageBatch")
def batch(run: Run, given: Inputs) -> Outputs:
    return ([*given["image1"], *given["image2"]],)


@does("BatchImagesNode")
def batch_all(run: Run, given: Inputs) -> Outputs:
    return ([one for name, images in sorted(given.items()) if name.startswith("images.") for one in images],)


@does("ImageFromBatch")
def part_of_batch(run: Run, given: Inputs) -> Outputs:
    first = given["batch_index"]
    return (given["image"][first : first + given["length"]],)


@does("ImageCrop")
def crop(run: Run, given: Inputs) -> Outputs:
    left, top = given["x"], given["y"]
    box = (left, top, left + given["width"], top + given["height"])
    return ([Picture(one.image.crop(box)) for one in given["image"]],)


@does("ImagePadForOutpaint")
def pad(run: Run, given: Inputs) -> Outputs:
    sides = (given["left"], given["top"], given["right"], given["bottom"])
    padded = [Picture(ImageOps.expand(one.image, sides, (127, 127, 127))) for one in given["image"]]
    hole = Image.new("L", given["image"][0].size)
    return padded, [ImageOps.expand(hole, sides, 255)]


@does("ImageCompositeMasked")
def composite(run: Run, given: Inputs) -> Outputs:
    source = given["source"][0].image
    merged = []
    for one in given["destination"]:
        target = one.image.copy()
        pasted = source.resize(target.size) if given["resize_source"] else source
        mask = given["mask"][0].resize(pasted.size) if "mask" in given else None
        target.paste(pasted, (given["x"], given["y"]), mask)
        merged.append(Picture(target))
    return (merged,)


@does("Canny")
def find_edges(run: Run, given: Inputs) -> Outputs:
    return (
        [
            Picture(one.image.convert("L").filter(ImageFilter.FIND_EDGES).convert("RGB"))
            for one in given["image"]
        ],
    )


@does("ImageToMask")
def image_to_mask(run: Run, given: Inputs) -> Outputs:
    return ([one.image.convert("RGBA").getchannel(CHANNELS[given["channel"]]) for one in given["image"]],)


@does("MaskToImage")
def mask_to_image(run: Run, given: Inputs) -> Outputs:
    return ([Picture(mask.convert("RGB")) for mask in given["mask"]],)


@does("InvertMask")
def invert_mask(run: Run, given: Inputs) -> Outputs:
    return ([ImageChops.invert(mask) for mask in given["mask"]],)


@does("JoinImageWithAlpha")
def join_alpha(run: Run, given: Inputs) -> Outputs:
    joined: list[Picture] = []
    for one, mask in zip(given["image"], given["alpha"], strict=False):
        image = one.image.convert("RGB")
        image.putalpha(ImageChops.invert(mask.resize(image.size)))
        joined.append(Picture(image))
    return (joined,)


@does("RemoveBackground")
def find_subject(run: Run, given: Inputs) -> Outputs:
    """White in the middle half of the picture, where this model always finds the subject."""
    masks: list[Image.Image] = []
    for one in given["image"]:
        width, height = one.image.size
        mask = Image.new("L", one.image.size, 0)
        mask.paste(255, (width // 4, height // 4, width - width // 4, height - height // 4))
        masks.append(mask)
    return (masks,)


def _control_picture(given: Inputs, *needed: str) -> Outputs:
    """A grey picture whose shorter side has the resolution. Some classes of the pack fail without inputs that
    they declare as optional."""
    for name in needed:
        if name not in given:
            raise NodeFailed("KeyError", f"'{name}'")
    made: list[Picture] = []
    for one in given["image"]:
        factor = given.get("resolution", 512) / min(one.image.size)
        size = (round(one.image.width * factor), round(one.image.height * factor))
        made.append(Picture(one.image.convert("L").resize(size).convert("RGB")))
    return (made,)


@does("DepthAnythingV2Preprocessor")
def find_depth(run: Run, given: Inputs) -> Outputs:
    return _control_picture(given)


@does("HEDPreprocessor")
def find_soft_edges(run: Run, given: Inputs) -> Outputs:
    return _control_picture(given, "safe")


@does("M-LSDPreprocessor")
def find_lines(run: Run, given: Inputs) -> Outputs:
    return _control_picture(given, "score_threshold", "dist_threshold")


@does("GrowMask")
def grow_mask(run: Run, given: Inputs) -> Outputs:
    grow = given["expand"]
    kernel = min(abs(grow) * 2 + 1, 31)
    filtered = ImageFilter.MaxFilter(kernel) if grow > 0 else ImageFilter.MinFilter(kernel)
    return ([mask.filter(filtered) if grow else mask for mask in given["mask"]],)


@does("SolidMask")
def solid_mask(run: Run, given: Inputs) -> Outputs:
    return ([Image.new("L", (given["width"], given["height"]), round(given["value"] * 255))],)


def texts(graph: Any, extra_data: dict[str, Any]) -> dict[str, str]:
    """What the server embeds in a PNG: the graph, and the workflow if the client gave one."""
    more = extra_data.get("extra_pnginfo") or {}
    return {"prompt": json.dumps(graph), **{name: json.dumps(value) for name, value in more.items()}}


@does("GetImageSize")
def image_size(run: Run, given: Inputs) -> Outputs:
    return (*given["image"][0].size, len(given["image"]))


@does("CreateVideo")
def create_video(run: Run, given: Inputs) -> Outputs:
    return ((given["images"], given["fps"]),)


def mp4(frames: Images, frames_a_second: float) -> bytes:
    """The head of an MP4 file, and what it would show; no player is needed to tell that it is a video."""
    facts = {"frames": len(frames), "fps": frames_a_second, "size": frames[0].size}
    return bytes.fromhex("0000001866747970") + b"isom\x00\x00\x02\x00isommp41" + json.dumps(facts).encode()


def animation(images: Images, frames_a_second: float) -> bytes:
    first, *others = [one.image for one in images]
    buffer = io.BytesIO()
    pause_ms = int(1000 / frames_a_second)
    first.save(buffer, "WEBP", save_all=True, append_images=others, duration=pause_ms, lossless=True)
    return buffer.getvalue()


def _opened(run: Run, reference: str) -> Image.Image:
    stored = run.files.find(reference)
    if stored is None:
        message = f"[Errno 2] No such file or directory: '{INPUT_FOLDER}/{reference}'\n"
        raise NodeFailed("FileNotFoundError", message)
    try:
        loaded = Image.open(io.BytesIO(stored.data))
        loaded.load()
    except (UnidentifiedImageError, OSError):
        message = f"cannot identify image file '{INPUT_FOLDER}/{reference}'\n"
        raise NodeFailed("PIL.UnidentifiedImageError", message) from None
    turned = ImageOps.exif_transpose(loaded)
    return turned.convert("RGBA") if turned.mode in ("P", "LA", "PA") else turned


def _scaled(one: Picture, given: Inputs) -> Picture:
    """As the server: a side of 0 follows the other; `center` cuts to the new shape first."""
    image, (width, height) = one.image, (given["width"], given["height"])
    if not width and not height:
        return one
    width = width or max(1, round(image.width * height / image.height))
    height = height or max(1, round(image.height * width / image.width))
    how = RESAMPLING[given["upscale_method"]]
    if given["crop"] == "center":
        return Picture(ImageOps.fit(image, (width, height), how))
    return Picture(image.resize((width, height), how))


def _grown(images: Images, factor: float, method: str) -> Images:
    width, height = (max(1, round(side * factor)) for side in images[0].size)
    return [Picture(one.image.resize((width, height), RESAMPLING[method])) for one in images]
