"""Prompts are judged before a job is stored, pictures before they are kept."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel

from imagemill.domain.clock import now_us, uuid7
from imagemill.domain.errors import BackendError, ContentBlocked
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import Draft, Job
from imagemill.domain.moderation import (
    ModerationInput,
    ModerationRecord,
    ModerationResult,
    PromptTexts,
    Verdict,
)
from imagemill.graphs.json_access import is_array, is_object, mapping, sequence
from imagemill.media.pictures import PictureInfo
from imagemill.recipes.base import Recipe
from imagemill.safety.chain import ChainResult, CheckChain, CheckFailed
from imagemill.safety.decisions import Decision, Decisions


@dataclass(frozen=True, slots=True)
class ApprovedInput:
    """An input whose texts may be rendered."""

    input: Any
    judgements: tuple[ModerationRecord, ...] = ()

    @property
    def dumped(self) -> Mapping[str, Any]:
        input_ = self.input
        return input_.model_dump(exclude_defaults=True) if isinstance(input_, BaseModel) else input_

    @property
    def marks(self) -> dict[str, Any]:
        """What is kept on the job of what was said."""
        if not self.judgements:
            return {}
        return {
            "safety": {
                "rewritten": any(each.verdict is Verdict.REWRITE for each in self.judgements),
                "flags": [each.category for each in self.judgements if each.verdict is Verdict.FLAG],
            }
        }


class PromptGate:
    def __init__(self, chain: CheckChain, decisions: Decisions) -> None:
        self._chain = chain
        self._decisions = decisions

    def admit(self, recipe: Recipe, input_: BaseModel, owner: str, path: str) -> ApprovedInput:
        """Raises `ContentBlocked` at ``path`` + the recipe's field, and `CheckFailed`."""
        texts, sentence = self._judged(recipe, input_, owner)
        if (blocked := sentence.blocked) is not None:
            self._decisions.begin([_decision(blocked, owner, None)])
            raise ContentBlocked.at(
                f"{path}{recipe.prompt_field}",
                f"is not allowed here: its text was blocked as {blocked.category!r}; change it",
            )
        return ApprovedInput(_rewritten(recipe, input_, texts, sentence), sentence.judgements)

    def admit_again(self, recipe: Recipe, input_: BaseModel, job: Job) -> Any:
        """In the worker, where the texts are others by now. Raises `BackendError`."""
        try:
            texts, sentence = self._judged(recipe, input_, job.owner)
        except CheckFailed as error:
            raise BackendError(FailureCode.BACKEND_UNAVAILABLE, str(error)) from error
        if sentence.judgements:
            self._decisions.record([_decision(each, job.owner, job.id) for each in sentence.judgements])
        if (blocked := sentence.blocked) is not None:
            message = f"its text was blocked as {blocked.category!r} once it was translated; change it"
            raise BackendError(FailureCode.CONTENT_BLOCKED, message)
        return _rewritten(recipe, input_, texts, sentence)

    def _judged(self, recipe: Recipe, input_: BaseModel, owner: str) -> tuple[PromptTexts, ChainResult]:
        texts = recipe.get_texts(input_) if recipe.get_texts is not None else _all_texts(input_)
        question = ModerationInput(texts, owner, recipe.name)
        return texts, self._chain.judge(question, rewritable=recipe.replace_texts is not None)

    def record(self, owner: str, drafts: Sequence[Draft]) -> None:
        """Before the jobs are stored, in the same or an earlier transaction."""
        decisions = [_decision(each, owner, draft.id) for draft in drafts for each in draft.judgements]
        if decisions:
            self._decisions.begin(decisions)


def _rewritten(recipe: Recipe, input_: Any, texts: PromptTexts, sentence: ChainResult) -> Any:
    if sentence.texts == texts or recipe.replace_texts is None:
        return input_
    return recipe.replace_texts(input_, sentence.texts)


def _all_texts(input_: BaseModel) -> PromptTexts:
    """Of a recipe that does not say which of its fields are prompts."""
    return PromptTexts("\n".join(_strings(input_.model_dump())))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if not value.startswith(("data:", "http://", "https://", "urn:air:", "blob:")):
            yield value
    elif is_object(value):
        for item in mapping(value).values():
            yield from _strings(item)
    elif is_array(value):
        for item in sequence(value):
            yield from _strings(item)


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture, as a classifier sees it."""

    data: bytes
    info: PictureInfo
    raster: Callable[[int, int], bytes]
    """Its pixels scaled to a width and a height, row by row, red, green and blue."""


class Classifier(Protocol):
    """Called by many threads at once, for each picture before it is kept."""

    @property
    def name(self) -> str:
        """In lower case; what settings and decisions name it by."""
        ...

    def judge(self, picture: Picture, job: Job) -> ModerationResult:
        """A rewrite counts as a flag."""
        ...


class PictureGate:
    def __init__(
        self,
        classifiers: Sequence[Classifier],
        decisions: Decisions,
        raster: Callable[[bytes, int, int], bytes],
    ) -> None:
        self._classifiers = tuple(classifiers)
        self._decisions = decisions
        self._raster = raster

    def judge(self, job: Job, data: bytes, info: PictureInfo) -> list[str]:
        """Categories it is flagged with. Raises `BackendError` for one that may not be kept."""
        if not self._classifiers:
            return []
        picture = Picture(data, info, lambda width, height: self._raster(data, width, height))
        flags: list[str] = []
        for classifier in self._classifiers:
            ruling = classifier.judge(picture, job)
            if ruling.verdict is Verdict.ALLOW:
                continue
            self._record(classifier.name, ruling, job, data)
            if ruling.verdict is Verdict.BLOCK:
                message = f"the finished picture was blocked as {ruling.category!r} and is not kept"
                raise BackendError(FailureCode.CONTENT_BLOCKED, message)
            flags.append(ruling.category)
        return flags

    def _record(self, name: str, ruling: ModerationResult, job: Job, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        judgement = ModerationRecord(name[:64], ruling.verdict, ruling.category[:64], digest)
        self._decisions.record([_decision(judgement, job.owner, job.id)])


def _decision(judgement: ModerationRecord, owner: str, job_id: str | None) -> Decision:
    return Decision(uuid7(), owner, now_us(), job_id, judgement)
