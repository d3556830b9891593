"""The files of the web application: the console at ``/`` and its screens' paths, the studio at ``/books``.

FastAPI's own ``frontend()`` is not used: it answers any unknown path that a browser opens, while here every
path has a policy and an unknown one is a 404; and it sends neither compressed files nor a Cache-Control.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from imagemill.domain.dataclass import dataclass
from imagemill.web.policies import CorsClass, PathPolicy

FOLDER = Path(__file__).with_name("console_files")
"""The built application; `make web` fills it, and the wheel contains it."""
SCREENS = (
    "characters",
    "failures",
    "faults",
    "gallery",
    "jobs",
    "library",
    "make",
    "models",
    "nodes",
    "people",
    "personalizations",
    "queue",
    "start",
    "watch",
    "webhooks",
    "workflows",
)
"""The first parts of the paths of the console's screens, as in ``web/src/app/navigation.ts``."""
STUDIO = "books"
"""The first part of the studio's paths."""
_ASSET = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_TYPES = {
    ".css": "text/css",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_FOREVER = "public, max-age=31536000, immutable"
_MISSING = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Imagemill</title></head>
<body>
<h1>Imagemill</h1>
<p>The server works, but its web application has not been built. Run <code>make web</code> in the checkout,
then load this page again.</p>
<p>The API: <a href="/docs">/docs</a></p>
</body>
</html>
"""


def _public(path: str, caching: str | None) -> PathPolicy:
    return PathPolicy(path, None, cors=CorsClass.NONE, caching=caching)


POLICIES = (
    _public("/", "no-cache"),
    _public("/assets/", _FOREVER),
    *(
        _public(path, "no-cache")
        for name in (*SCREENS, STUDIO)
        for path in (f"/{name}", f"/{name}/")
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Page:
    changed_ns: int
    """When its file was changed."""
    body: bytes
    etag: str


class ConsoleFiles:
    """The routes of the application's files, which are read when they are first requested.

    ``picture_urls``: addresses beside this server's own from which pages load pictures.
    """

    def __init__(self, folder: Path = FOLDER, picture_urls: Sequence[str] = ()) -> None:
        self._folder = folder
        self._csp = content_security_policy(picture_urls)
        self._pages: dict[str, _Page] = {}

    def routes(self) -> list[Route]:
        console = [Route("/", self._console)]
        for name in SCREENS:
            console += [Route(f"/{name}", self._console), Route(f"/{name}/{{rest:path}}", self._console)]
        studio = [Route(f"/{STUDIO}", self._studio), Route(f"/{STUDIO}/{{rest:path}}", self._studio)]
        return [*console, *studio, Route("/assets/{name}", self._asset)]

    async def _console(self, request: Request) -> Response:
        return self._page(request, "index.html")

    async def _studio(self, request: Request) -> Response:
        return self._page(request, "studio.html")

    def _page(self, request: Request, name: str) -> Response:
        headers = {"Content-Security-Policy": self._csp, "Cache-Control": "no-cache"}
        page = self._read(name)
        if page is None:
            return HTMLResponse(_MISSING, 503, {**headers, "Cache-Control": "no-store"})
        headers["ETag"] = page.etag
        if page.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return HTMLResponse(page.body, headers=headers)

    def _read(self, name: str) -> _Page | None:
        """Return a page, which is read again after its file has changed; None without a build."""
        path = self._folder / name
        try:
            changed_ns = path.stat().st_mtime_ns
            page = self._pages.get(name)
            if page is None or page.changed_ns != changed_ns:
                body = path.read_bytes()
                etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
                page = self._pages[name] = _Page(changed_ns, body, etag)
        except FileNotFoundError:
            return None
        return page

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        path = self._folder / "assets" / name
        kind = _TYPES.get(path.suffix)
        if kind is None or not _ASSET.fullmatch(name) or not path.is_file():
            raise HTTPException(404, "there is no such file; load the page again, it may have been updated")
        headers = {"Cache-Control": _FOREVER}
        compressed = path.with_name(f"{name}.gz")
        if compressed.is_file():
            headers["Vary"] = "Accept-Encoding"
            if accepts_gzip(request.headers.get("accept-encoding", "")):
                return FileResponse(
                    compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=kind
                )
        return FileResponse(path, headers=headers, media_type=kind)


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding allows gzip."""
    for part in header.lower().split(","):
        name, _, options = part.partition(";")
        if name.strip() == "gzip":
            return options.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def content_security_policy(picture_urls: Sequence[str] = ()) -> str:
    """Return the policy of the pages: files of this server only, no inline script and no inline style."""
    origins = sorted(
        {f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, picture_urls) if parts.netloc}
    )
    schemes = sorted({url for url in picture_urls if url.endswith(":")})
    pictures = " ".join(["'self'", "data:", "blob:", *origins, *schemes])
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {pictures}; media-src {pictures}; "
        "font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
