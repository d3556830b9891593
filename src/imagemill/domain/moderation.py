"""Inputs and results of prompt checks and picture classifiers."""

from enum import StrEnum

from imagemill.domain.dataclass import dataclass


class Verdict(StrEnum):
    ALLOW = "allow"
    FLAG = "flag"
    """The job is rendered, and marked for review."""
    REWRITE = "rewrite"
    """The job is rendered with another text."""
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class PromptTexts:
    """The texts from which a job's picture is made."""

    prompt: str
    negative: str = ""
    """The negative prompt."""
    extra_text: str = ""
    """Text that is added to the prompt and cannot be rewritten, such as trigger words."""

    @property
    def whole(self) -> str:
        """The prompt with the extra text."""
        return f"{self.prompt}\n{self.extra_text}" if self.extra_text else self.prompt


@dataclass(frozen=True, slots=True)
class ModerationInput:
    """The input of a prompt check."""

    texts: PromptTexts
    owner: str
    recipe: str


@dataclass(frozen=True, slots=True)
class ModerationResult:
    """The result of one check or classifier. ``category`` is a short word for the finding."""

    verdict: Verdict
    category: str = ""
    texts: PromptTexts | None = None
    """The new texts, when the verdict is a rewrite."""


ALLOWED = ModerationResult(Verdict.ALLOW)


@dataclass(frozen=True, slots=True)
class ModerationRecord:
    """A stored result: the rule and a digest of the checked content, never the content itself."""

    rule: str
    verdict: Verdict
    category: str
    digest: str
    """SHA-256 of the normalised texts or of the picture's file."""
