"""Dataclasses whose methods cost nothing until they are called.

The standard library compiles six methods for each frozen dataclass while its module is imported, which takes
half a millisecond; we have some 700 of them, and a process uses a part. Here ``__init__``, ``__eq__`` and
``__hash__`` are compiled at their first call, and the others are shared by all classes.

A frozen object is filled three times as fast as well: see `_open_class`.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, fields
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

_OPENED_FROM = 3
"""Fields from which two changes of the class pay."""
_set_class: Callable[[object, type], None] = object.__dict__["__class__"].__set__

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: TID251 - its type
else:

    def dataclass(*, frozen: bool = False, slots: bool = False, eq: bool = True) -> Callable[[type], type]:
        """Make a dataclass as `dataclasses.dataclass` does. No further options."""
        return lambda cls: _complete(cls, frozen, slots, eq)


def _complete(cls: Any, frozen: bool, slots: bool, eq: bool) -> type:
    own = cls.__dict__
    documented = cls.__doc__
    cls.__doc__ = documented or cls.__name__  # the standard library would else compose a signature
    base = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)  # noqa: TID251 - for fields
    cls = base(cls)
    cls.__doc__ = documented
    compiled = {"__init__": lambda: _compile_init(cls, frozen)}
    methods: dict[str, Any] = {"__repr__": _repr}
    if eq:
        compiled["__eq__"] = lambda: _compile_eq(cls)
        methods["__hash__"] = None
    if eq and frozen:
        compiled["__hash__"] = lambda: _compile_hash(cls)
    if frozen:
        methods |= {"__setattr__": _refuse_assignment, "__delattr__": _refuse_deletion}
    if frozen and slots:
        methods |= {"__getstate__": _state, "__setstate__": _set_state}
    methods |= {name: _first_call(cls, name, build) for name, build in compiled.items()}
    for name, method in methods.items():
        # A class that defines __eq__ has a __hash__ of None, unless it defines that, too.
        if name not in own or (name == "__hash__" and own[name] is None):
            setattr(cls, name, method)
    return cls


def _first_call(cls: Any, name: str, build: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """Return a method that replaces itself by what ``build`` compiles."""

    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        built = build()
        setattr(cls, name, built)
        return built(self, *args, **kwargs)

    method.__name__ = name
    return method


def _compile(cls: Any, name: str, parameters: str, lines: list[str], **scope: Any) -> Callable[..., Any]:
    exec(f"def {name}({parameters}):\n " + "\n ".join(lines), scope)  # noqa: S102 - only names of fields
    function = scope[name]
    function.__qualname__ = f"{cls.__qualname__}.{name}"
    return function


def _compile_init(cls: Any, frozen: bool) -> Callable[..., None]:
    """Return ``__init__``; parameters of keywords alone come last, as in the standard library."""
    scope: dict[str, Any] = {
        "_class_": cls,
        "_missing_": MISSING,
        "_set_class_": _set_class,
        "_set_value_": object.__setattr__,
    }
    positional: list[str] = []
    keywords: list[str] = []
    values: list[tuple[str, str]] = []
    for field in fields(cls):
        name = field.name
        value = name
        given = keywords if field.kw_only else positional
        if field.default_factory is not MISSING:
            scope[f"_make_{name}_"] = field.default_factory
            value = f"_make_{name}_()"
            if field.init:
                value = f"{value} if {name} is _missing_ else {name}"
            default = "_missing_"
        else:
            scope[f"_default_{name}_"] = field.default
            default = f"_default_{name}_" if field.default is not MISSING else ""
        if field.init:
            given.append(f"{name}={default}" if default else name)
        elif not default:
            continue  # __post_init__ sets it
        elif field.default_factory is MISSING:
            value = default
        values.append((name, value))
    body = [f"self.{name} = {value}" for name, value in values]
    if frozen:
        slow = [f"_set_value_(self, {name!r}, {value})" for name, value in values]
        scope["_open_"] = _open_class(cls) if len(values) >= _OPENED_FROM else None
        body = _opened(body, slow) if scope["_open_"] is not None else slow
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    parameters = ", ".join(["self", *positional, *(["*", *keywords] if keywords else [])])
    return _compile(cls, "__init__", parameters, body or ["pass"], **scope)


def _opened(fast: list[str], slow: list[str]) -> list[str]:
    """Return lines that fill a new object while it is of the open class; one of a subclass is not."""
    return [
        "if self.__class__ is _class_:",
        "    _set_class_(self, _open_)",
        *(f"    {line}" for line in fast),
        "    self.__class__ = _class_",
        "else:",
        *(f"    {line}" for line in slow),
    ]


def _open_class(cls: Any) -> type | None:
    """Return a class with the same slots whose attributes can be assigned; None where none can be made.

    ``object.__setattr__`` takes 80 ns a field, an assignment 15 ns, and a change of the class 80 ns.
    """
    # Such a hook of a base would take it for a class of its own.
    has_hook = any("__init_subclass__" in base.__dict__ for base in cls.__mro__[:-1])
    if "__slots__" not in cls.__dict__ or has_hook:
        return None
    scope = {"__slots__": cls.__slots__, "__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    opened: type = type(cls)(cls.__name__, cls.__bases__, scope)
    try:
        _set_class(cls.__new__(cls), opened)
    except TypeError:  # the layout differs, as that of a class with a dictionary does
        return None
    return opened


def _compile_eq(cls: Any) -> Callable[..., Any]:
    lines = [
        "if other.__class__ is self.__class__:",
        f"    return {_compared(cls, 'self')} == {_compared(cls, 'other')}",
        "return NotImplemented",
    ]
    return _compile(cls, "__eq__", "self, other", lines)


def _compile_hash(cls: Any) -> Callable[..., Any]:
    return _compile(cls, "__hash__", "self", [f"return hash({_compared(cls, 'self')})"])


def _compared(cls: Any, name: str) -> str:
    """Return the expression of the fields that are compared, as a tuple."""
    return f"({''.join(f'{name}.{field.name}, ' for field in fields(cls) if field.compare)})"


@recursive_repr()
def _repr(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _refuse_assignment(self: Any, name: str, value: Any) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deletion(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for field, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
