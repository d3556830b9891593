"""The chain of prompt checks, which run one after the other."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from imagemill.domain.dataclass import dataclass
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
    """A prompt check. Many threads call it, once for each prompt before its job is stored.

    A call should take well below a millisecond, and must not log the text.
    """

    @property
    def name(self) -> str:
        """Lower-case name for settings and stored decisions."""
        ...

    def judge(self, question: ModerationInput) -> ModerationResult: ...


class CheckFailed(ImagemillError):
    """A check raised an error. A prompt that was not checked is not rendered."""

    code = "check_failed"
    retryable = True


@dataclass(frozen=True, slots=True)
class ChainResult:
    """The combined result of all checks."""

    texts: PromptTexts
    """The texts to render, possibly rewritten."""
    records: tuple[ModerationRecord, ...] = ()
    """Results other than ``allow``, in the order of the checks; a block is the last one."""

    @property
    def blocked(self) -> ModerationRecord | None:
        """The result that blocks the prompt, if any."""
        last = self.records[-1] if self.records else None
        return last if last is not None and last.verdict is Verdict.BLOCK else None


class CheckChain:
    """Runs the checks in order. `Minors` always runs first, and again at the end after a rewrite."""

    def __init__(self, checks: Sequence[Check] = ()) -> None:
        self._always = Minors()
        self._checks: tuple[Check, ...] = (self._always, *checks)

    def judge(self, question: ModerationInput, *, rewritable: bool = True) -> ChainResult:
        """Run all checks. When texts are not ``rewritable``, a rewrite counts as a block. Raises
        `CheckFailed`."""
        first = question.texts
        records: list[ModerationRecord] = []
        for check in self._checks:
            result = self._run_check(check, question, records, rewritable)
            if result.verdict is Verdict.BLOCK:
                return ChainResult(question.texts, tuple(records))
            if result.verdict is Verdict.REWRITE and result.texts is not None:
                question = replace(question, texts=result.texts)
        if question.texts != first:
            self._run_check(self._always, question, records, rewritable)
        return ChainResult(question.texts, tuple(records))

    def _run_check(
        self, check: Check, question: ModerationInput, records: list[ModerationRecord], rewritable: bool
    ) -> ModerationResult:
        try:
            result = check.judge(question)
        except Exception as error:  # noqa: BLE001 - a check may be a plug-in and raise anything
            # The error's message may contain the text.
            log.error("check %r failed: %s", check.name, type(error).__name__)  # noqa: TRY400
            raise CheckFailed(f"the check {check.name!r} of prompts failed; try again") from None
        if result.verdict is Verdict.REWRITE and (result.texts is None or not rewritable):
            result = ModerationResult(Verdict.BLOCK, result.category)
        if result.verdict is not Verdict.ALLOW:
            category, text = result.category[:64], digest(question.texts)
            records.append(ModerationRecord(check.name[:64], result.verdict, category, text))
        return result
