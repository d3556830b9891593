"""Chat completions as an endpoint answers them: what is known is read, with the right types, the rest is left
out."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from imagemill.graphs.json_access import is_array, is_object, mapping, sequence


def _joined(content: Any) -> Any:
    """Return a content as one text; some endpoints answer with parts."""
    if not is_array(content):
        return content
    texts = (mapping(part).get("text") for part in sequence(content) if is_object(part))
    return "".join(text for text in texts if isinstance(text, str))


class AnsweredFunction(BaseModel, defer_build=True):
    name: str
    arguments: str = ""


class AnsweredToolCall(BaseModel, defer_build=True):
    id: str = ""
    type: str = "function"
    function: AnsweredFunction


class AnsweredMessage(BaseModel, defer_build=True):
    role: str = "assistant"
    content: Annotated[str | None, BeforeValidator(_joined)] = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[AnsweredToolCall] | None = None


class AnsweredChoice(BaseModel, defer_build=True):
    message: AnsweredMessage
    finish_reason: str | None = None


class TokenUsage(BaseModel, defer_build=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class ChatAnswer(BaseModel, defer_build=True):
    id: str | None = None
    created: int | None = None
    model: str | None = None
    choices: list[AnsweredChoice] = Field(min_length=1)
    usage: TokenUsage | None = None

    @property
    def text(self) -> str:
        """The text of the first choice; empty if it has none."""
        return self.choices[0].message.content or ""
