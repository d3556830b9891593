"""Everything a dialect may use, built once by `imagemill.bootstrap`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from imagemill.backends.base import Backend
from imagemill.blobs.base import BlobStore
from imagemill.domain.scheduling import Offer
from imagemill.domain.signing import UrlSigner
from imagemill.recipes.base import Recipe
from imagemill.service.access import Access
from imagemill.service.audit import Audit
from imagemill.service.credits import Credits
from imagemill.service.guard import Guard
from imagemill.service.hub import Hub
from imagemill.service.inputs import InputPictures
from imagemill.service.library import Library
from imagemill.service.limits import Throttle
from imagemill.service.nodes import NodeRegistry
from imagemill.service.registry import Registry
from imagemill.service.submit import Submitter
from imagemill.service.users import Users
from imagemill.service.views import ViewLoader
from imagemill.service.webhooks import Webhooks
from imagemill.service.workflows import Workflows
from imagemill.store.store import Store


@dataclass(frozen=True, slots=True)
class Wire:
    """How answers of this installation look."""

    signer: UrlSigner
    public_url: str | None
    """Without a slash at the end; None: as the request was addressed."""
    v1_result: Literal["object", "array"]


@dataclass(frozen=True, slots=True)
class SocketRules:
    """What WebSockets are held to."""

    ping_s: float = 20.0
    pong_s: float = 20.0
    """A client that leaves a ping unanswered for so long is gone."""
    slow_s: float = 10.0
    """A client that takes nothing for so long is cut."""
    message_bytes: int = 4096
    """Largest message of a client."""
    messages: int = 20
    """Most messages of a client in ten seconds."""


@dataclass(frozen=True, slots=True)
class Services:
    store: Store
    access: Access
    users: Users
    audit: Audit
    hub: Hub
    blobs: BlobStore
    registry: Registry
    nodes: NodeRegistry
    workflows: Workflows
    submitter: Submitter
    library: Library
    credits: Credits
    throttle: Throttle | None
    """None: nobody is held to limits."""
    views: ViewLoader
    webhooks: Webhooks
    guard: Guard
    inputs: InputPictures
    recipes: Mapping[str, Recipe]
    backends: Mapping[str, Backend]
    offers: Callable[[], list[Offer]]
    """What the slots of this process can take now; empty where none runs."""
    prompt_chars: int
    wait_s: float
    wire: Wire
    options: Mapping[str, Any]
    """The settings of dialects that have some, by the dialect's name."""
    secret: Callable[[str], bytes]
    """A secret of this installation by its name, drawn when it is first asked for; may block."""
    sockets: SocketRules = SocketRules()
