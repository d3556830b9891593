"""Kinds of files a render may deliver, and how they are served without harm."""

_EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/avif": "avif",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/quicktime": "mov",
    "video/x-matroska": "mkv",
    "audio/flac": "flac",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "model/gltf-binary": "glb",
    "text/plain": "txt",
    "application/json": "json",
}
_TYPES = {extension: media_type for media_type, extension in _EXTENSIONS.items()} | {
    "jpg": "image/jpeg",
    "opus": "audio/ogg",
}

UNKNOWN = "application/octet-stream"
"""Whatever a browser might run, such as HTML or SVG, is unknown too: it is saved, not shown."""


def extension_of(media_type: str) -> str:
    return _EXTENSIONS.get(media_type, "bin")


def media_type_of(name: str) -> str:
    """By the extension of a file name."""
    return _TYPES.get(name.rpartition(".")[2].lower(), UNKNOWN)
