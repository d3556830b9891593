"""Files out and in, and what the machine says of itself."""

import io
import mimetypes
from email.utils import formatdate
from typing import Any

from PIL import Image

from tests.comfyui.faults import Faults
from tests.comfyui.files import KINDS, Escape, Folders, Stored, inside
from tests.comfyui.machine import Machine
from tests.comfyui.wire import Reply, Request

MIB = 2**20
SPARE_MB = 24_000  # what a machine without a limit says it has


def view(request: Request, files: Folders, faults: Faults) -> Reply:
    """GET /view: a whole file, a range of it, or a smaller rendition."""
    query = request.query
    name = query.get("filename")
    if name is None:
        return Reply(404)
    kind = query.get("type", "output")
    if kind not in KINDS or name.startswith("/") or ".." in name:
        return Reply(400)
    try:
        stored = files.read(kind, inside(query.get("subfolder", "")), name)
    except Escape:
        return Reply(403)
    if stored is None:
        return Reply(404)
    headers = {"Content-Disposition": f'filename="{name}"'}
    if "preview" in query:
        data, content_type = _preview(stored.data, query["preview"])
        return Reply(200, data, content_type, headers)
    if query.get("channel") in ("rgb", "a"):
        return Reply(200, _channel(stored.data, query["channel"]), "image/png", headers)
    return _whole(request, name, stored, faults, headers)


def _whole(request: Request, name: str, stored: Stored, faults: Faults, headers: dict[str, str]) -> Reply:
    content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    modified = formatdate(stored.written_s, usegmt=True)
    headers = {**headers, "Etag": stored.etag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
    data = stored.data
    if faults.truncate == "half":
        return Reply(200, data[: len(data) // 2], content_type, headers)
    if faults.truncate == "short":
        return Reply(200, data[: len(data) // 2], content_type, headers, promised=len(data))
    if request.headers.get("if-none-match") == stored.etag:
        return Reply(304, b"", content_type, headers)
    wanted = request.headers.get("range", "")
    if not wanted.startswith("bytes="):
        return Reply(200, data, content_type, headers)
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(0, len(data) - int(last))
    end = min(len(data), int(last) + 1) if first and last else len(data)
    if start >= len(data):
        return Reply(416, b"", content_type, {"Content-Range": f"bytes */{len(data)}"})
    span = {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}
    return Reply(206, data[start:end], content_type, {**headers, **span})


def form(request: Request) -> dict[str, tuple[str, bytes]]:
    """Field name to file name and content, of a multipart body."""
    boundary = request.headers.get("content-type", "").partition("boundary=")[2].strip('"')
    fields: dict[str, tuple[str, bytes]] = {}
    for part in request.body.split(b"--" + boundary.encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        about = head.decode("utf-8", "replace")
        fields[_quoted(about, "name")] = (_quoted(about, "filename"), content.removesuffix(b"\r\n"))
    return fields


def system_stats(version: str, new: bool, device: str, machine: Machine) -> dict[str, Any]:
    total = (machine.costs.vram_mb or SPARE_MB) * MIB
    free = machine.free_mb * MIB if machine.costs.vram_mb else total
    memory = {"vram_total": total, "vram_free": free, "torch_vram_total": total, "torch_vram_free": free}
    system = {
        "os": "linux" if new else "posix",
        "ram_total": SPARE_MB * MIB,
        "ram_free": SPARE_MB * MIB,
        "comfyui_version": version,
        "python_version": "3.11.7 (main)",
        "pytorch_version": "2.13.0+cpu",
        "embedded_python": False,
        "argv": ["main.py", "--listen", "127.0.0.1"],
    }
    index = 0 if device != "cpu" else None
    return {
        "system": system,
        "devices": [{"name": device, "type": device.partition(":")[0], "index": index, **memory}],
    }


def model_file(name: str, size: int) -> dict[str, Any]:
    """A model as /experiment/models shows it; all have one age."""
    return {"name": name, "pathIndex": 0, "modified": 1.7e9, "created": 1.7e9, "size": size}


def _quoted(head: str, name: str) -> str:
    for part in head.replace("\r\n", ";").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value.strip('"')
    return ""


def _preview(data: bytes, job_request: str) -> tuple[bytes, str]:
    format_, _, quality = job_request.partition(";")
    format_ = format_ if format_ in ("webp", "jpeg") else "webp"
    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(data))
    picture = picture.convert("RGB") if format_ == "jpeg" else picture
    picture.save(buffer, format_.upper(), quality=int(quality) if quality.isdigit() else 90)
    return buffer.getvalue(), f"image/{format_}"


def _channel(data: bytes, channel: str) -> bytes:
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    chosen = picture.convert("RGB") if channel == "rgb" else picture.getchannel("A")
    buffer = io.BytesIO()
    chosen.save(buffer, "PNG")
    return buffer.getvalue()
