"""Entry points: our own built-in components and those of other packages are registered the same way."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from imagemill.domain.dataclass import dataclass
from imagemill.products.base import installed_products, load_plugin, registered

if TYPE_CHECKING:
    from imagemill.api.base import ApiModule, Services
    from imagemill.config import Settings
    from imagemill.products.base import Product
    from imagemill.safety.chain import Check
    from imagemill.webhooks.batch_callbacks import BatchFormat
    from imagemill.webhooks.callbacks import Format
    from imagemill.webhooks.messages import WebhookData


def plugins(kind: str) -> list[Any]:
    """Return the objects of a group of entry points. Raises `BrokenPlugin`."""
    return [load_plugin(kind, entry) for entry in registered(kind)]


KINDS = ("recipes", "backends", "dialects", "products", "settings", "checks", "classifiers")
"""The groups of entry points, each below ``imagemill.``."""


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """An entry point of an installed distribution."""

    kind: str
    name: str
    target: str
    """The module and the object that it names."""
    distribution: str
    version: str
    problem: str
    """The reason why it cannot be loaded; empty if it can."""


def installed_plugins() -> Iterator[InstalledPlugin]:
    """Load every entry point, our own as well, and return what it is or why it cannot be loaded."""
    for kind in KINDS:
        for entry in registered(kind):
            try:
                entry.load()
                problem = ""
            except Exception as error:  # noqa: BLE001 - code of others may raise anything
                problem = f"{type(error).__name__}: {error}"
            name, version = (entry.dist.name, entry.dist.version) if entry.dist else ("", "")
            yield InstalledPlugin(kind, entry.name, entry.value, name, version, problem)


def own_settings(product: "Product", settings: "Settings") -> Mapping[str, Any]:
    """Return the settings groups of a product, by name."""
    return {name: getattr(settings, name) for name in product.settings_groups()}


def product_checks(settings: "Settings") -> "Mapping[str, Check]":
    """Return the checks of prompts that products define, by name."""
    return {
        name: check
        for product in installed_products()
        for name, check in product.checks(own_settings(product, settings)).items()
    }


class CallbackFormats(Mapping[str, "Format"]):
    """The callback format of each dialect; dialects are loaded when the first callback is written."""

    def __init__(
        self,
        dialects: "Callable[[], Sequence[ApiModule]]",
        services: "Callable[[], Services]",
        settings: Callable[[str], Any],
    ) -> None:
        self._dialects = dialects
        self._services = services
        self._settings = settings

    def __getitem__(self, name: str) -> "Format":
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @cached_property
    def _all(self) -> "Mapping[str, Format]":
        return {each.name: self._format(each) for each in self._dialects()}

    def of_batches(self, name: str) -> "BatchFormat | None":
        """Return the format of the callbacks of a dialect's batches; None if it has none."""
        return self._of_batches.get(name)

    @cached_property
    def _of_batches(self) -> "Mapping[str, BatchFormat]":
        modules = [each for each in self._dialects() if each.batch_format is not None]
        return {each.name: each.batch_format(self._services()) for each in modules if each.batch_format}

    def of_webhooks(self, name: str) -> "WebhookData | None":
        """Return what writes a dialect's part of webhook messages; None for the job as our own API has it."""
        return self._of_webhooks.get(name)

    @cached_property
    def _of_webhooks(self) -> "Mapping[str, WebhookData]":
        modules = [each for each in self._dialects() if each.webhook_data is not None]
        return {each.name: each.webhook_data(self._services()) for each in modules if each.webhook_data}

    def _format(self, module: "ApiModule") -> "Format":
        if module.webhook_format is None:
            return module.callback
        settings = self._settings(module.settings) if module.settings is not None else None
        return module.webhook_format(self._services(), settings)
