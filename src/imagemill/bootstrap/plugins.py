"""Entry points: our own built-in components and those of other packages are registered the same way."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from imagemill.products.base import installed_products, registered

if TYPE_CHECKING:
    from imagemill.api.base import ApiModule, Services
    from imagemill.config import Settings
    from imagemill.products.base import Product
    from imagemill.safety.chain import Check
    from imagemill.webhooks.callbacks import Format


def plugins(kind: str) -> list[Any]:
    return [entry.load() for entry in registered(kind)]


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

    def _format(self, module: "ApiModule") -> "Format":
        if module.webhook_format is None:
            return module.callback
        settings = self._settings(module.settings) if module.settings is not None else None
        return module.webhook_format(self._services(), settings)
