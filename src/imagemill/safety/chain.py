"""Checks of prompts, one after the other."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from imagemill.domain.errors import ImagemillError
from imagemill.domain.moderation import (
    ModerationInput,
    ModerationRecord,
    ModerationResult,
    PromptTexts,
    Verdict,
)
from imagemill.safety.minors import Minors
from imagemill.safety.normalize import digest

log = logging.getLogger(__name__)


class Check(Protocol):
    """Called by many threads at once, for each prompt before its job is stored. It should take well below a
    millisecond, and must not log the text."""

    @property
    def name(self) -> str:
        """In lower case; what settings and decisions name it by."""
        ...

    def judge(self, question: ModerationInput) -> ModerationResult: ...


class CheckFailed(ImagemillError):
    """A check could not say anything. What is not checked is not rendered."""

    code = "check_failed"
    retryable = True


@dataclass(frozen=True, slots=True)
class ChainResult:
    """What all checks together say."""

    texts: PromptTexts
    records: tuple[ModerationRecord, ...] = ()
    """Of the checks that said something, in their order; a block is the last."""

    @property
    def blocked(self) -> ModerationRecord | None:
        last = self.records[-1] if self.records else None
        return last if last is not None and last.verdict is Verdict.BLOCK else None


class CheckChain:
    """`Minors` is first, and last where a text was rewritten, whatever else there is."""

    def __init__(self, checks: Sequence[Check] = ()) -> None:
        self._always = Minors()
        self._checks: tuple[Check, ...] = (self._always, *checks)

    def judge(self, question: ModerationInput, *, rewritable: bool = True) -> ChainResult:
        """Where texts cannot be rewritten, a rewrite is a block. Raises `CheckFailed`."""
        first = question.texts
        judgements: list[ModerationRecord] = []
        for check in self._checks:
            ruling = self._run_check(check, question, judgements, rewritable)
            if ruling.verdict is Verdict.BLOCK:
                return ChainResult(question.texts, tuple(judgements))
            if ruling.verdict is Verdict.REWRITE and ruling.texts is not None:
                question = replace(question, texts=ruling.texts)
        if question.texts != first:
            self._run_check(self._always, question, judgements, rewritable)
        return ChainResult(question.texts, tuple(judgements))

    def _run_check(
        self, check: Check, question: ModerationInput, judgements: list[ModerationRecord], rewritable: bool
    ) -> ModerationResult:
        try:
            ruling = check.judge(question)
        except Exception as error:  # noqa: BLE001 - it may be anybody's
            # Its message may hold the text.
            log.error("check %r failed: %s", check.name, type(error).__name__)  # noqa: TRY400
            raise CheckFailed(f"the check {check.name!r} of prompts failed; try again") from None
        if ruling.verdict is Verdict.REWRITE and (ruling.texts is None or not rewritable):
            ruling = ModerationResult(Verdict.BLOCK, ruling.category)
        if ruling.verdict is not Verdict.ALLOW:
            category, text = ruling.category[:64], digest(question.texts)
            judgements.append(ModerationRecord(check.name[:64], ruling.verdict, category, text))
        return ruling
