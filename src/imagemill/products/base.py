"""The hook of a product: recipes, tables, routes, settings and commands of one application, in one folder.

An entry point of the group ``imagemill.products`` names an instance of `Product`. Its module is imported by
every process and by the command line, so it imports nothing heavy at the top: the methods do.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from imagemill.domain.dataclass import dataclass

if TYPE_CHECKING:
    import typer
    from pydantic import BaseModel

    from imagemill.api.base import ApiModule, Services
    from imagemill.blobs.base import BlobStore
    from imagemill.db.database import Database
    from imagemill.jobs.store.finish import RecordWriters
    from imagemill.jobs.store.store import FileReferences, JobStore
    from imagemill.jobs.submit import Submitter
    from imagemill.language.settings import LanguageModelSettings
    from imagemill.media.transforms import ImageTransform, OutputFile, TransformContext
    from imagemill.model_registry.registry import Registry
    from imagemill.recipes.base import Recipe
    from imagemill.safety.chain import Check


@dataclass(frozen=True, slots=True)
class ProductContext:
    """The components of a process that a product builds on."""

    settings: Mapping[str, Any]
    """The product's own settings groups, by the names in `Product.settings_groups`."""
    owner: str
    """The owner of what this installation makes on nobody's request."""
    database: "Database"
    jobs: "JobStore"
    blobs: "BlobStore"
    load_input: Callable[[str], bytes]
    """Return an input image by its source; see `imagemill.jobs.inputs.InputPictures.load`."""
    run_transform: "Callable[[ImageTransform, bytes, TransformContext], Sequence[OutputFile]]"
    """Run a transform in a confined process."""
    language_model: "LanguageModelSettings"
    """The language model of all tasks, for a product that has no endpoint of its own."""
    wake: Callable[[], None]
    """Have `ProductParts.advance` called soon, by the leader. Never blocks; may be lost."""
    registry: "Registry"
    """The models: those that are registered, and those that the nodes have."""


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The additions to `ProductContext` for tasks that arrive by Celery."""

    services: "Services"
    base_url: str
    """Base of the URLs of this installation."""
    time_limit_s: float
    """Seconds after which a task should have returned."""


class TaskRunner(Protocol):
    """Runs a product's Celery tasks. Raises `ShuttingDown` once it accepts no more."""

    def run(self, name: str, task_id: str, arguments: Mapping[str, Any]) -> dict[str, Any]: ...

    def stop_accepting(self, patience_s: float) -> None:
        """Let running tasks end with `ShuttingDown`, wait for them at most so many seconds."""
        ...


class ProductParts:
    """A product in one process. Subclasses override what they have."""

    recipes: "Sequence[Recipe]" = ()

    def api(self) -> "ApiModule | None":
        """The routes. Called only in a process that answers HTTP or writes callbacks."""
        return None

    def tasks(self, context: TaskContext) -> TaskRunner:
        """The runner of `Product.celery_tasks`. A product that declares tasks overrides this."""
        raise TypeError(f"{type(self).__name__} has no runner for the Celery tasks of its product")

    def advance(self, submitter: "Submitter") -> None:
        """Submit what follows from jobs that have ended.

        Called by the leader every few seconds, and soon after a job of the product's recipes has ended; it
        must be quick when there is nothing to do. Calls may overlap with those of a former leader, and may
        end in the middle: give each job a `JobRequest.unique_key`.
        """

    def prune(self) -> None:
        """Delete rows that have grown old. Called about once an hour, by one process of all."""

    def close(self) -> None:
        """Close threads and connections."""


class Product:
    """A product as it is registered. Subclasses override what they have."""

    name: ClassVar[str]
    blob_prefix: ClassVar[str] = ""
    """Where the product keeps files that outlive their jobs, such as ``books/``; empty: nowhere.

    A file there that `file_references` does not know is deleted as an orphan.
    """
    celery_tasks: ClassVar[tuple[str, ...]] = ()
    """Names of tasks that applications send to ``generator_queue``."""
    check_names: ClassVar[tuple[str, ...]] = ()
    """Names of the checks of prompts that `checks` may return."""
    migrations: ClassVar[Path | None] = None
    """The folder with the Alembic versions of the product's own tables. They have a version table of their
    own, ``alembic_version_{name}``. None: the product has no tables, or they are part of the core's schema.
    """

    def settings_groups(self) -> "Mapping[str, type[BaseModel]]":
        """The settings groups by name; a group's docstring is its title.

        The group ``books`` is read from ``IMAGEMILL_BOOKS__*`` and from ``[books]`` in imagemill.toml.
        """
        return {}

    def record_writers(self) -> "RecordWriters":
        """Writers of the records of successes, by the type of `imagemill.recipes.base.Plan.record`."""
        return {}

    def file_references(self) -> "FileReferences | None":
        """A query that returns which of some blob keys the product's rows refer to."""
        return None

    def checks(self, settings: Mapping[str, Any]) -> "Mapping[str, Check]":
        """Checks of prompts that ``IMAGEMILL_SAFETY__CHECKS`` may name, as the settings ask for them."""
        del settings
        return {}

    def task_owner(self, settings: Mapping[str, Any]) -> str | None:
        """The owner of what the Celery tasks make; None means the setting ``owner``."""
        del settings
        return None

    def commands(self) -> "Mapping[str, typer.Typer]":
        """Groups of commands by the name they get below ``imagemill``."""
        return {}

    def build(self, context: ProductContext) -> ProductParts:
        """Build the product for this process."""
        del context
        return ProductParts()


def registered(kind: str) -> Sequence[EntryPoint]:
    """Return the entry points of ``imagemill.<kind>`` by name, not loaded yet."""
    return sorted(_entry_points().select(group=f"imagemill.{kind}"), key=lambda entry: entry.name)


class BrokenPlugin(Exception):
    """An entry point cannot be loaded; the message names its package and the remedy."""


def load_plugin(kind: str, entry: EntryPoint) -> Any:
    """Return the object that an entry point of ``imagemill.<kind>`` names. Raises `BrokenPlugin`."""
    try:
        return entry.load()
    except Exception as error:
        package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown package"
        raise BrokenPlugin(
            f"the plug-in {entry.name} of {package} (imagemill.{kind}: {entry.value}) cannot be loaded: "
            f"{type(error).__name__}: {error}; correct the package or uninstall it"
        ) from error


@cache
def installed_products() -> "Sequence[Product]":
    """Return the products that are installed, by name."""
    return [load_plugin("products", entry) for entry in registered("products")]


@cache
def _entry_points() -> EntryPoints:
    """Reading them opens a file of every installed distribution, which takes 15 ms: once a process."""
    every: Any = entry_points()  # with no group it is typed as what it was before Python 3.12
    return every
