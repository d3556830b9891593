"""What is registered by entry points: our own built-ins and a user's, by the same hook."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imagemill.api.base import ApiModule, Services
    from imagemill.config import Settings
    from imagemill.products.base import Product
    from imagemill.safety.chain import Check
    from imagemill.webhooks.callbacks import Format


def registered(kind: str) -> Sequence[EntryPoint]:
    """Those of ``imagemill.<kind>`` by name, not loaded yet."""
    return sorted(_all().select(group=f"imagemill.{kind}"), key=lambda entry: entry.name)


def plugins(kind: str) -> list[Any]:
    return [entry.load() for entry in registered(kind)]


@cache
def products() -> "Sequence[Product]":
    """The products that are installed, by name."""
    return sorted(plugins("products"), key=lambda product: product.name)


def own_settings(product: "Product", settings: "Settings") -> Mapping[str, Any]:
    """Return the settings groups of a product, by name."""
    return {name: getattr(settings, name) for name in product.settings}


def product_checks(settings: "Settings") -> "Mapping[str, Check]":
    """Return the checks of prompts that products bring, by name."""
    return {
        name: check
        for product in products()
        for name, check in product.checks(own_settings(product, settings)).items()
    }


class CallbackFormats(Mapping[str, "Format"]):
    """How each dialect writes its callbacks; they are loaded when the first callback is written."""

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

    def _format(self, module: "ApiModule") -> "Format":
        if module.webhook_format is None:
            return module.callback
        settings = self._settings(module.settings) if module.settings is not None else None
        return module.webhook_format(self._services(), settings)


@cache
def _all() -> EntryPoints:
    """Reads a file of every installed distribution, which takes 15 ms: once a process."""
    every: Any = entry_points()  # with no group it is typed as what it was before Python 3.12
    return every
