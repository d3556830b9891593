"""``/``: a page for people who open the server in a browser. It needs no script and no other server."""

from collections.abc import Sequence
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

import imagemill
from imagemill.api.base import Services
from imagemill.backends.base import Node, renderers
from imagemill.domain.access import Scope
from imagemill.web.auth import optional_caller
from imagemill.web.http import base_url

_LINKS = (
    ("/docs", "the API, to read and try"),
    ("/redoc", "the API, as one page"),
    ("/openapi.json", "the API as an OpenAPI document"),
    ("/health", "what works now"),
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Imagemill</title>
<style>
  :root {{ color-scheme: light dark }}
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem }}
  pre {{ padding: 1rem; overflow-x: auto; border: 1px solid #8886; border-radius: .5rem; font-size: .875rem }}
  li {{ margin: .2rem 0 }}
  small {{ opacity: .7 }}
</style>
</head>
<body>
<h1>Imagemill <small>{version}</small></h1>
<p>An image-generation server. It is running.</p>
<h2>A first picture</h2>
<pre>imagemill make "a fox in the snow"</pre>
<p>Or over HTTP; the answer names the address of the picture:</p>
<pre>{curl}</pre>
{key}
<h2>Nodes</h2>
{nodes}
<h2>More</h2>
<ul>
{links}
</ul>
</body>
</html>
"""
_KEY_NEEDED = (
    "<p>This server has API keys: set <code>IMAGEMILL_TOKEN</code> to yours; an administrator makes one by "
    "<code>imagemill keys create</code>.</p>"
)
_SIMULATED = (
    "<p>No node is connected, so the pictures are simulated. Connect a ComfyUI server: "
    "<code>imagemill nodes add attic http://127.0.0.1:8188</code></p>"
)


async def landing(request: Request, services: Services) -> Response:
    """Return the page. Names of nodes are for callers who may read nodes."""
    caller = await optional_caller(request, services.access)
    sees_nodes = caller is not None and caller.may(Scope.NODES_READ)
    nodes = renderers(services.backends.values())
    links = (f'<li><a href="{path}">{path}</a>: {text}</li>' for path, text in _LINKS)
    page = _PAGE.format(
        version=escape(imagemill.__version__),
        curl=escape(_curl(base_url(request, services.response_config.public_url), with_key=caller is None)),
        key=_KEY_NEEDED if caller is None else "",
        nodes=_describe(nodes, named=sees_nodes),
        links="\n".join(links),
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _curl(base: str, *, with_key: bool) -> str:
    header = ' \\\n  -H "Authorization: Bearer $IMAGEMILL_TOKEN"' if with_key else ""
    body = '{"recipe": "textToImage", "input": {"prompt": "a fox in the snow"}}'
    return f"curl -s {base}/api/v1/jobs{header} \\\n  -H \"Content-Type: application/json\" \\\n  -d '{body}'"


def _describe(nodes: Sequence[Node], *, named: bool) -> str:
    """Return the state of the nodes; simulated ones count only while they take jobs."""
    simulated = [node for node in nodes if node.backend == "simulator" and not node.draining]
    real = [node for node in nodes if node.backend != "simulator"]
    if not real:
        return _SIMULATED if simulated else "<p>No node is connected.</p>"
    healthy = sum(node.healthy and not node.draining for node in real)
    summary = f"<p>{healthy} of {len(real)} can take jobs.</p>"
    if not named:
        return summary
    items = "\n".join(f"<li>{escape(node.name)}: {escape(_state(node))}</li>" for node in real)
    return f"{summary}\n<ul>\n{items}\n</ul>"


def _state(node: Node) -> str:
    return node.problem or ("disabled: it gets no more jobs" if node.draining else "healthy")
