"""What a recipe is: an input model, what the input needs, and the plan of a render."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel

from imagemill.domain.air import Resource
from imagemill.domain.credits import Rate
from imagemill.domain.images import RenderSpec
from imagemill.domain.moderation import PromptTexts
from imagemill.media.transforms import ImageTransform, OutputFile, Role, TransformContext


@dataclass(frozen=True, slots=True)
class Plan:
    """One render and what is made of its outputs."""

    work: RenderSpec
    outputs: int
    """Files the render must deliver; fewer is a failure."""
    size: tuple[int, int] | None = None
    """Width and height every picture must have; None: any."""
    parameters: str = ""
    """The generation parameters as text, embedded in the picture."""
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    """Sources (`ResourceResolver.picture`) of the pictures the work names."""
    transform: ImageTransform | None = None
    """What is made of each picture before it is kept; None: kept as it is."""
    keys: Mapping[Role, str] = field(default_factory=dict[Role, str])
    """Where files lie that outlive the job, with ``{ms}`` for the start of the attempt and ``{owner}`` for
    its owner's folder; the others lie with the job. Of plans with one output, and never of what a client
    wrote as it is."""
    record: object | None = None
    """A record that is written with the success; its type names the writer, see `Product.record_writers`."""


class ResourceResolver(Protocol):
    """What a recipe completes an input from. ``path`` names the field in an `InvalidInput`."""

    def resource(self, path: str, air: str, *, kind: str | None = None) -> Resource:
        """Expand a short form, check that the model may be used."""
        ...

    def picture(self, path: str, text: str) -> str:
        """Accept a picture a client gave as a data URL, a URL or ``blob:`` + a blob key of its own.

        Returns its source, to be kept in the input and handed to `Plan.inputs`.
        """
        ...


@dataclass(frozen=True, slots=True)
class PrepareContext:
    """What a worker lends a recipe that prepares an input: a worker has the time and the network for it."""

    owner: str
    """The owner of the job."""
    load_picture: Callable[[str], bytes]
    """Return an input picture by its source. Raises `BackendError`, and `StorageError`."""
    run_transform: Callable[[ImageTransform, bytes, TransformContext], Sequence[OutputFile]]
    """Run a transform in a confined process."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An input that can be rendered."""

    input: Any
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the job's last event says of it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    name: str
    input: type[BaseModel]
    complete: Callable[[Any, ResourceResolver, str], BaseModel]
    """The input with AIRs expanded and the seed drawn. The last argument is the path of its fields."""
    plan: Callable[[Any], Plan]
    model: Callable[[Any], str]
    """The checkpoint's AIR in lower case, or an empty text."""
    rate: Rate
    """What it costs unless the settings say otherwise."""
    queue: str = "gpu"
    get_texts: Callable[[Any], PromptTexts] | None = None
    """The texts of an input, complete or not, for the checks of prompts; None: all texts that are in it."""
    replace_texts: Callable[[Any, PromptTexts], BaseModel] | None = None
    """The input with other texts; None: what a check would rewrite is blocked."""
    prepare: Callable[[Any, PrepareContext], Prepared] | None = None
    """What is done in the worker before the plan: what takes too long for a request. Its texts are judged
    once more. A plan must be possible without it, as a request makes one to see whether and where."""
    rates: Mapping[str, Rate] = field(default_factory=dict[str, Rate])
    """What it costs on occasions that have a name; see `JobSubmission.rate`."""
    prompt_field: str = ""
    """The input's field that messages about its texts name."""
