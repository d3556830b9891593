"""What is said of wrong fields: plain words, one path for a union, no regular expression and no class."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagemill.domain.field_messages import field_message, field_path, merge_unions


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")

    air: str
    strength: float = 1.0


class Whole(BaseModel):
    text: str = Field("", min_length=1, max_length=3)
    number: int = Field(1, ge=1, le=9, multiple_of=1)
    real: float = Field(0.5, gt=0, lt=1)
    flag: bool = False
    items: list[int] = Field(default=[1], min_length=1, max_length=2)
    kind: Literal["a", "b"] = "a"
    id: str = Field("x", pattern=r"^(?:[A-Za-z0-9_\-]{1,64})$")
    word: str = Field("x", pattern=r"^(?:[a-z0-9][a-z0-9_\-]{0,31})$")
    format: str = Field("png", pattern="^(png|jpeg|webp)$")
    colour: str = Field("#000000", pattern="^#[0-9a-fA-F]{6}$")
    odd: str = Field("", pattern=r"^x\w*(y|z)$")
    part: str | Part | list[Annotated[str | Part, Field()]] = ""
    parts: list[Part] = []


def told(**values: Any) -> dict[str, str]:
    try:
        Whole.model_validate(values)
    except ValidationError as error:
        found = merge_unions(error.errors(include_url=False))
        return {field_path(each["loc"], "input"): field_message(each) for each in found}
    return {}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("text", 5, "should be a text"),
        ("text", "", "should have at least 1 character"),
        ("text", "abcd", "should have at most 3 characters"),
        ("number", "x", "should be a whole number"),
        ("number", 1.5, "should be a whole number"),
        ("number", None, "should be a whole number"),
        ("number", 0, "should be at least 1"),
        ("number", 10, "should be at most 9"),
        ("real", "x", "should be a number"),
        ("real", 0, "should be above 0.0"),
        ("real", 1, "should be below 1.0"),
        ("flag", "perhaps", "should be true or false"),
        ("items", 5, "should be a list"),
        ("items", [], "should have at least 1 item"),
        ("items", [1, 2, 3], "should have at most 2 items"),
        ("kind", "c", "should be a or b"),
        ("id", "a b", "should be 1 to 64 of A-Z, a-z, 0-9, _, -"),
        ("word", "-", "should be 1 to 32 of a-z, 0-9, _, -"),
        ("format", "gif", "should be one of png, jpeg, webp"),
        ("colour", "red", "should be a colour such as #1e90ff"),
        ("odd", "y", "has a form that is not accepted here"),
        ("parts", {}, "should be a list"),
    ],
)
def test_a_message_is_plain(name: str, value: Any, message: str) -> None:
    assert told(**{name: value}) == {f"input.{name}": message}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, {"input.part": "should be a text or an object or a list"}),
        (
            {"x": 1},
            {
                "input.part.air": "is required",
                "input.part.x": "is not a field here; correct its name or leave it out",
            },
        ),
        ({"air": 1}, {"input.part.air": "should be a text"}),
        ([5], {"input.part[0]": "should be a text or an object"}),
        ([{"air": "a"}, {"air": 1}], {"input.part[1].air": "should be a text"}),
    ],
)
def test_a_union_is_told_as_one_field(value: Any, expected: dict[str, str]) -> None:
    assert told(part=value) == expected


def test_a_place_in_a_list_is_written_as_javascript_does() -> None:
    assert told(parts=[{"air": "a"}, {}]) == {"input.parts[1].air": "is required"}
    assert field_path(("$type", 0, "a b")) == "$type[0]['a b']"
