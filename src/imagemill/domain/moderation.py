"""What checks of prompts and classifiers of pictures say."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    ALLOW = "allow"
    FLAG = "flag"
    """Rendered, and marked for whoever looks at the job."""
    REWRITE = "rewrite"
    """Rendered with another text."""
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class PromptTexts:
    """The texts of a job that a picture is made of."""

    prompt: str
    negative: str = ""
    """What shall not be in the picture."""
    extra_text: str = ""
    """What is added to the prompt and cannot be rewritten, such as trigger words."""

    @property
    def whole(self) -> str:
        return f"{self.prompt}\n{self.extra_text}" if self.extra_text else self.prompt


@dataclass(frozen=True, slots=True)
class ModerationInput:
    """What a check of prompts is asked."""

    texts: PromptTexts
    owner: str
    recipe: str


@dataclass(frozen=True, slots=True)
class ModerationResult:
    """What one check or classifier says. ``category``: a short word for what it found."""

    verdict: Verdict
    category: str = ""
    texts: PromptTexts | None = None
    """Of a rewrite: the texts to be used."""


ALLOWED = ModerationResult(Verdict.ALLOW)


@dataclass(frozen=True, slots=True)
class ModerationRecord:
    """A ruling as it is kept: whose it is and about what, without the text."""

    rule: str
    verdict: Verdict
    category: str
    digest: str
    """SHA-256 of the normalised texts, or of the picture's file."""
