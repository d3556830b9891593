"""The recipe interface: an input model, the preparation of an input, and the plan of a render."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol

from pydantic import BaseModel

from imagemill.domain.air import Resource
from imagemill.domain.credits import Rate
from imagemill.domain.dataclass import dataclass
from imagemill.domain.images import RenderSpec
from imagemill.domain.moderation import PromptTexts
from imagemill.media.transforms import ImageTransform, OutputFile, Role, TransformContext


@dataclass(frozen=True, slots=True)
class Plan:
    """One render, and the processing of its outputs."""

    work: RenderSpec
    outputs: int
    """Number of files the render must deliver; fewer is a failure. 0 for a task that delivers values only."""
    size: tuple[int, int] | None = None
    """Required width and height of every picture; None means any."""
    parameters: str = ""
    """The generation parameters as text, embedded in the picture."""
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    """Input name -> source (`ResourceResolver.picture`), for the pictures that the work names."""
    data: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """Input name -> file that the recipe supplies itself; no name is in ``inputs`` too."""
    transform: ImageTransform | None = None
    """Processing of each picture before it is stored; None stores it unchanged."""
    keys: Mapping[Role, str] = field(default_factory=dict[Role, str])
    """Blob keys of files that outlive the job, with ``{ms}`` for the start of the attempt and ``{owner}`` for
    the owner's folder; other files are stored with the job. Only for plans with one output; a key must never
    contain unchecked text of a client."""
    file_keys: tuple[str, ...] = ()
    """Blob keys of the first files by position, whatever their type, as in ``keys``; an empty one, and files
    beyond the last, are stored with the job."""
    leaves_nothing: bool = False
    """Whether a node may keep neither the inputs nor the outputs: one that would is refused."""
    discards: bool = False
    """Whether the files are dropped, as the render itself is what is wanted: a model is then loaded."""
    report: Callable[[str], Mapping[str, Any]] | None = None
    """Returns the job's JSON output for the name of the node; None means that of the task, if it is one."""
    record: object | None = None
    """A record that is written when the job succeeds; its type selects the writer, see
    `Product.record_writers`."""


class ResourceResolver(Protocol):
    """Resolves the models and pictures of an input. ``path`` names the field in an `InvalidInput`."""

    def resource(self, path: str, air: str, *, kind: str | None = None) -> Resource:
        """Return a model by its AIR, short form or file name, and check that it may be used."""
        ...

    def default_checkpoint(self, path: str, family: str | None = None) -> Resource:
        """Return the checkpoint of a request that names none, of ``family`` if there is one.

        Raises `InvalidInput` where there is none.
        """
        ...

    def picture(self, path: str, text: str) -> str:
        """Accept a client's picture: a data URL, a URL, or ``blob:`` and a blob key of the client.

        Returns its source, to be stored in the input and used in `Plan.inputs`.
        """
        ...


@dataclass(frozen=True, slots=True)
class PrepareContext:
    """Slow operations that a recipe may only use in a worker, not in a request."""

    owner: str
    """The owner of the job."""
    load_picture: Callable[[str], bytes]
    """Return an input picture by its source. Raises `BackendError` and `StorageError`."""
    run_transform: Callable[[ImageTransform, bytes, TransformContext], Sequence[OutputFile]]
    """Run a transform in a confined process."""
    bad_outputs: int = 0
    """The number of failures so far, if the last attempt delivered an unusable picture; else 0."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An input that can be rendered."""

    input: Any
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Details for the job's last event."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A kind of job. Registered by an entry point in the group ``imagemill.recipes``."""

    name: str
    input: type[BaseModel]
    complete: Callable[[Any, ResourceResolver, str], BaseModel]
    """Returns the input with AIRs expanded and the seed drawn. The last argument is the path of its fields.
    """
    plan: Callable[[Any], Plan]
    """Returns the render for a complete input."""
    model: Callable[[Any], str]
    """Returns the checkpoint's AIR in lower case, or an empty text."""
    rate: Rate
    """The price, unless the settings name another one."""
    queue: str = "gpu"
    get_texts: Callable[[Any], PromptTexts] | None = None
    """Returns the texts of an input, complete or not, for prompt checks; None means all texts in it."""
    replace_texts: Callable[[Any, PromptTexts], BaseModel] | None = None
    """Returns the input with other texts. With None, an input that a check would rewrite is blocked."""
    prepare: Callable[[Any, PrepareContext], Prepared] | None = None
    """Slow work that the worker does before the plan. The texts are checked again after it. A plan must be
    possible without it, as a request makes a plan to find out whether and where the job can run."""
    rates: Mapping[str, Rate] = field(default_factory=dict[str, Rate])
    """Name -> price of a special case; see `imagemill.jobs.submit.JobRequest.rate`."""
    rate_of: Callable[[Any], str] | None = None
    """Returns the key in ``rates`` that a complete input has; empty means the recipe's own price."""
    output_texts: Callable[[Mapping[str, Any]], PromptTexts] | None = None
    """Returns the texts in the values of a task that prompt checks read before they are kept; None means that
    none are checked."""
    prompt_field: str = ""
    """The input's field that error messages about its texts name."""
    work_field: str | None = None
    """The input's field that error messages name when no node can do it, empty for the input as a whole; None
    means the field that names what is missing."""
    summary: str = ""
    """A sentence for the documentation: what it makes."""
    example: Mapping[str, Any] | None = None
    """An input that works as it is; None where jobs are made by another route."""
