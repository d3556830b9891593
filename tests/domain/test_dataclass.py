"""Dataclasses that compile their methods at the first call behave as those of the standard library."""

import copy
import dataclasses
import pickle
from abc import ABC
from collections.abc import Callable
from dataclasses import KW_ONLY, FrozenInstanceError, field, replace
from typing import Any, ClassVar, Generic, TypeVar

import pytest

from imagemill.domain.dataclass import dataclass

_T = TypeVar("_T")
DECORATORS = [dataclass, dataclasses.dataclass]


def _classes(decorator: Callable[..., Any]) -> dict[str, Any]:
    @decorator(frozen=True, slots=True)
    class Point:
        KIND: ClassVar[str] = "flat"
        x: int
        y: int = 2
        tags: list[str] = field(default_factory=list)
        note: str = field(default="", compare=False, repr=False)

    @decorator(frozen=True, slots=True)
    class Place(Point):
        _: KW_ONLY
        name: str = "nowhere"

    @decorator(frozen=True, slots=True)
    class Doubled:
        missing: int
        twice: int = field(init=False)
        made: list[int] = field(init=False, default_factory=list)
        fixed: int = field(init=False, default=7)

        def __post_init__(self) -> None:
            object.__setattr__(self, "twice", 2 * self.missing)

    @decorator(slots=True)
    class Counter:
        count: int = 0

    @decorator(slots=True, eq=False)
    class Thing:
        name: str

    @decorator(frozen=True)
    class Empty:
        pass

    @decorator(frozen=True, slots=True)
    class Own:
        text: str

        def __init__(self, text: str) -> None:
            object.__setattr__(self, "text", text.upper())

        def __repr__(self) -> str:
            return f"<{self.text}>"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, type(self))

    @decorator(frozen=True, slots=True)
    class Node:
        children: list[Any]

    @decorator(frozen=True, slots=True)
    class Pair(Generic[_T]):
        first: _T
        second: _T
        third: _T

    @decorator(frozen=True, slots=True)
    class Abstract(ABC):
        first: int
        second: int
        third: int

    class Plain(Point):
        """No dataclass: it has a dictionary, and the __init__ of its base fills it."""

    classes = (Point, Place, Doubled, Counter, Thing, Empty, Own, Node, Pair, Abstract, Plain)
    return {cls.__name__: cls for cls in classes}


def _outcome(code: str, scope: dict[str, Any]) -> str:
    """Return the value of an expression, or its error, as a text."""
    try:
        return repr(eval(code, {**scope, "copy": copy, "replace": replace, "dataclasses": dataclasses}))
    except (TypeError, ValueError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize(
    "code",
    [
        "Point(1), Point(1, 3, ['a']), Point(y=4, x=5, note='n').note",
        "Point()",
        "Point(1, 2, [], '', 5)",
        "Point(1, z=2)",
        "Point(1).tags is Point(1).tags",
        "Point(1) == Point(1, note='other'), Point(1) == Point(2), Point(1) == 1, Point(1) != Point(1)",
        "Point(1) == Place(1), Place(1, name='here'), Place(1, 2, [], '', 'here')",
        "hash(Point(1, 2, ()))  == hash((1, 2, ()))",
        "len({Point(1, tags=()), Point(1, tags=(), note='n'), Point(2, tags=())}), hash(Point(1))",
        "Point.__match_args__, Point.__slots__, Point.KIND, [f.name for f in dataclasses.fields(Place)]",
        "setattr(Point(1), 'x', 2)",
        "delattr(Point(1), 'x')",
        "replace(Point(1), y=9), dataclasses.asdict(Place(1)), dataclasses.astuple(Point(1))",
        "replace(Doubled(1), made=[])",
        "copy.copy(Point(1, 2, ['a'])), copy.deepcopy(Place(1, name='b'))",
        "Doubled(3), Doubled(missing=4).twice, Doubled(1) == Doubled(1), Doubled(1, 2)",
        "Doubled(3), Doubled(missing=4).twice, Doubled(1) == Doubled(1)",
        "Counter(), Counter(2) == Counter(2), Counter.__hash__",
        "setattr(c := Counter(), 'count', 5), c",
        "Thing('a') == Thing('a'), len({Thing('a'), Thing('a')})",
        "Empty(), Empty() == Empty(), hash(Empty()) == hash(()), Empty(1)",
        "Empty(), Empty() == Empty(), hash(Empty()) == hash(())",
        "Own('a'), Own('a') == Own('b'), hash(Own('a')) == hash(('A',))",
        "Pair(1, 2, 3), Pair(1, 2, 3) == Pair(1, 2, 3), Abstract(1, 2, 3)",
        "setattr(Pair(1, 2, 3), 'first', 2)",
        "Plain(1), type(Plain(1)).__name__, type(Place(1)).__name__, type(Doubled(1)).__name__",
        "setattr(Plain(1), 'x', 2)",
        "setattr(Place(1), 'name', 'b')",
        "(n := Node([])).children.append(n), n",
    ],
)
def test_it_behaves_as_the_standard_librarys(code: str):
    first, second = (_outcome(code, _classes(decorator)) for decorator in DECORATORS)
    assert first == second


@dataclass(frozen=True, slots=True)
class Packed:
    """A class that a pickle can name."""

    number: int
    texts: tuple[str, ...] = ()


def test_it_can_be_pickled():
    packed = Packed(3, ("a",))
    assert pickle.loads(pickle.dumps(packed)) == packed
    assert Packed.__doc__ == "A class that a pickle can name."


def test_methods_are_compiled_at_the_first_call():
    point = _classes(dataclass)["Point"]
    before = point.__init__, point.__eq__, point.__hash__
    assert point(1) == point(1)
    assert (point.__init__, point.__eq__) != before[:2]
    assert point.__hash__ is before[2]
    with pytest.raises(FrozenInstanceError):
        point(1).x = 2
