"""Prices: the cost of a job by its recipe, size, steps, quantity and backend."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from imagemill.domain.credits import Rate, amount_of, credits_of, price
from imagemill.domain.images import RenderSize
from imagemill.recipes.base import Recipe

_SHOWN_PLACES = 4
"""Decimal places of a shown cost, as in Civitai's API."""


class Prices:
    """The prices of recipes. ``rates`` override the recipes' own.

    ``is_charged``: credits are charged, so prices are rounded up to what the ledger can hold.
    """

    def __init__(
        self,
        recipes: Mapping[str, Recipe],
        rates: Mapping[str, Rate] | None = None,
        factors: Mapping[str, float] | None = None,
        *,
        is_charged: bool = False,
    ) -> None:
        own = {name: recipe.rate for name, recipe in recipes.items()}
        named = {name: rate for recipe in recipes.values() for name, rate in recipe.rates.items()}
        self._rates = named | own | dict(rates or {})
        self._factors = dict(factors or {})
        self.is_charged = is_charged

    def of(self, name: str, size: RenderSize, backends: Iterable[str] = ()) -> float:
        """Return the price in credits for the name of a recipe or a rate.

        With several ``backends`` that may run the job, it is the price of the most expensive one.
        """
        factor = max((self._factors.get(name, 1.0) for name in backends), default=1.0)
        cost = price(self._rates[name], size, factor)
        return credits_of(amount_of(cost)) if self.is_charged else round(cost, _SHOWN_PLACES)

    def knows(self, recipe: str) -> bool:
        return recipe in self._rates

    def table(self) -> dict[str, Any]:
        """Return the prices of all recipes and backends, for documentation and clients."""
        return {
            "charged": self.is_charged,
            "recipes": {name: _body(rate) for name, rate in sorted(self._rates.items())},
            "backends": dict(sorted(self._factors.items())),
        }


def _body(rate: Rate) -> dict[str, float]:
    names = {"megapixel_step": "megapixelStep"}
    return {names.get(name, name): value for name, value in asdict(rate).items()}
