"""Recipes of page work, put into a server of a test."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from pydantic import BaseModel

from imagemill.domain.credits import Rate
from imagemill.domain.images import PageSpec
from imagemill.products.base import Product, ProductContext, ProductParts, installed_products
from imagemill.recipes.base import Plan, Recipe
from tests.press.works import DieOnce, Fail, Hang, Join, Pages, Rectangle, png


class DrawnInput(BaseModel):
    work: Literal["rectangle", "hang", "pages", "die", "fail"] = "rectangle"
    argument: str = ""


def _drawn_plan(input_: DrawnInput) -> Plan:
    match input_.work:
        case "rectangle":
            return Plan(PageSpec("drawn", Rectangle(), megapixels=2.0, pages=3), outputs=1, size=(24, 16))
        case "hang":
            return Plan(PageSpec("drawn", Hang(input_.argument)), outputs=1)
        case "pages":
            return Plan(PageSpec("drawn", Pages(4), pages=4), outputs=0)
        case "die":
            return Plan(PageSpec("drawn", DieOnce(input_.argument)), outputs=1)
        case "fail":
            return Plan(PageSpec("drawn", Fail(input_.argument)), outputs=1)


class JoinedInput(BaseModel):
    pictures: list[str] = []
    keys: list[str] = []


def _complete_joined(input_: JoinedInput, resolver: Any, path: str) -> JoinedInput:
    pictures = [
        resolver.picture(f"{path}pictures[{index}]", picture) for index, picture in enumerate(input_.pictures)
    ]
    return input_.model_copy(update={"pictures": pictures})


def _joined_plan(input_: JoinedInput) -> Plan:
    named = {f"b{index}": source for index, source in enumerate(input_.pictures)}
    return Plan(
        PageSpec("joined", Join()),
        outputs=2,
        inputs=named,
        data={"a": png(5, 5, "blue")},
        file_keys=tuple(input_.keys),
    )


def _recipe(name: str, input_: type[BaseModel], plan: Any, complete: Any = None) -> Recipe:
    return Recipe(
        name=name,
        input=input_,
        complete=complete or (lambda input_, resolver, path: input_),
        plan=plan,
        model=lambda input_: "",
        rate=Rate(base=1.0, megapixel_step=0.5),
    )


RECIPES: Mapping[str, Recipe] = {
    "drawn": _recipe("drawn", DrawnInput, _drawn_plan),
    "joined": _recipe("joined", JoinedInput, _joined_plan, _complete_joined),
}


class PageParts(ProductParts):
    recipes = tuple(RECIPES.values())


class PageProduct(Product):
    """A product that has these recipes only."""

    name = "pages"

    def build(self, context: ProductContext) -> ProductParts:
        return PageParts()


@contextmanager
def installed(product: Product) -> Iterator[None]:
    """Servers that start meanwhile have the product."""
    found: Any = installed_products()
    found.append(product)
    try:
        yield
    finally:
        found.remove(product)
