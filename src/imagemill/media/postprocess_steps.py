"""The steps of `imagemill.media.postprocess.PostProcess`.

Importing this loads Pillow; NumPy is loaded for removing a background only.
"""

from PIL import Image

from imagemill.media.encoding import (
    MEDIA_TYPE,
    check_cut,
    check_shown,
    check_size,
    encoded,
    open_checked,
    thumbnail,
    trimmed,
)
from imagemill.media.intake import read
from imagemill.media.metadata import ImageMetadata, exif, of_thumbnail, redacted, with_metadata, xmp
from imagemill.media.postprocess import PostProcess
from imagemill.media.transforms import OutputFile, Role, TransformContext, check_pixels


def finished(finish: PostProcess, data: bytes, facts: TransformContext) -> list[OutputFile]:
    """Raises `InvalidImage`."""
    picture = open_checked(data, finish.max_pixels)
    check_size(picture, finish.size)
    check_shown(picture)
    picture = _cut(finish, picture)
    labels = redacted(
        ImageMetadata(
            facts.made_at,
            finish.prompt,
            finish.character,
            facts.job_id,
            facts.model,
            facts.seed,
        ),
        finish.metadata,
    )
    made = [_made(finish, "picture", picture, labels)]
    if finish.thumbnail_px:
        small = thumbnail(picture, finish.thumbnail_px)
        made.append(_made(finish, "thumbnail", small, of_thumbnail(labels) if labels else None))
    if finish.keep_original:
        made.append(_original(finish, data, labels))
    return made


def _cut(finish: PostProcess, picture: Image.Image) -> Image.Image:
    if finish.key_colour is None and finish.cutout is None:
        return picture
    check_pixels("removing a background")
    from imagemill.media import chroma_key
    from imagemill.media.cutout import cut_out

    if picture.mode == "RGBA":
        found = picture  # the node has removed it
    elif finish.key_colour is None:
        found = cut_out(picture, finish.cutout or b"")
    else:
        red, green, blue = bytes.fromhex(finish.key_colour.removeprefix("#"))
        try:
            found = chroma_key.remove_background(picture, (red, green, blue))
            check_cut(found)
        except chroma_key.NoBackground:
            if finish.cutout is None:
                raise
            found = cut_out(picture, finish.cutout)
    check_cut(found)
    return found if finish.trim_px is None else trimmed(found, finish.trim_px)


def _made(finish: PostProcess, role: Role, picture: Image.Image, labels: ImageMetadata | None) -> OutputFile:
    done = encoded(
        picture,
        quality=finish.quality,
        most_bytes=finish.most_bytes if role == "picture" else None,
        exif=exif(labels) if labels else b"",
        xmp=xmp(labels) if labels else b"",
    )
    return OutputFile(done.data, MEDIA_TYPE, picture.width, picture.height, role)


def _original(finish: PostProcess, data: bytes, labels: ImageMetadata | None) -> OutputFile:
    """A PNG keeps the graph it was rendered by, which holds the prompt: so only where that may be told."""
    layout = read(data)
    if finish.metadata != "full":
        data = layout.kept
        if labels is not None and layout.media_type == "image/png":
            data = with_metadata(data, labels)
    return OutputFile(data, layout.media_type, layout.width, layout.height, "original")
