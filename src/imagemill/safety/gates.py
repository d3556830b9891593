"""Gates: prompts are checked before a job is stored, and pictures before they are stored."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from pydantic import BaseModel

from imagemill.domain.clock import now_us, uuid7
from imagemill.domain.dataclass import dataclass
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
    records: tuple[ModerationRecord, ...] = ()

    @property
    def dumped(self) -> Mapping[str, Any]:
        input_ = self.input
        return input_.model_dump(exclude_defaults=True) if isinstance(input_, BaseModel) else input_

    @property
    def job_details(self) -> dict[str, Any]:
        """Return the details that are stored with the job: whether it was rewritten, and its flags."""
        if not self.records:
            return {}
        return {
            "safety": {
                "rewritten": any(each.verdict is Verdict.REWRITE for each in self.records),
                "flags": [each.category for each in self.records if each.verdict is Verdict.FLAG],
            }
        }


class PromptGate:
    """Runs the prompt checks on a recipe's input, and stores their decisions."""

    def __init__(self, chain: CheckChain, decisions: Decisions) -> None:
        self._chain = chain
        self._decisions = decisions

    def admit(self, recipe: Recipe, input_: BaseModel, owner: str, path: str) -> ApprovedInput:
        """Check an input. Raises `ContentBlocked` at ``path`` + the prompt field, and `CheckFailed`."""
        texts, checked = self._check(recipe, input_, owner)
        if (blocked := checked.blocked) is not None:
            self._decisions.begin([_decision(blocked, owner, None)])
            raise ContentBlocked.at(
                f"{path}{recipe.prompt_field}",
                f"is not allowed here: its text was blocked as {blocked.category!r}; change it",
            )
        return ApprovedInput(_apply_rewrite(recipe, input_, texts, checked), checked.records)

    def admit_again(self, recipe: Recipe, input_: BaseModel, job: Job) -> Any:
        """Check an input again in the worker, after its texts have changed. Raises `BackendError`."""
        try:
            texts, checked = self._check(recipe, input_, job.owner)
        except CheckFailed as error:
            raise BackendError(FailureCode.BACKEND_UNAVAILABLE, str(error)) from error
        if checked.records:
            self._decisions.record([_decision(each, job.owner, job.id) for each in checked.records])
        if (blocked := checked.blocked) is not None:
            message = f"its text was blocked as {blocked.category!r} after its translation; change it"
            raise BackendError(FailureCode.CONTENT_BLOCKED, message)
        return _apply_rewrite(recipe, input_, texts, checked)

    def admit_output(self, texts: PromptTexts, recipe: str, job: Job) -> None:
        """Check texts that a language model has written. Raises `BackendError`."""
        try:
            checked = self._chain.judge(ModerationInput(texts, job.owner, recipe), rewritable=False)
        except CheckFailed as error:
            raise BackendError(FailureCode.BACKEND_UNAVAILABLE, str(error)) from error
        if checked.records:
            self._decisions.record([_decision(each, job.owner, job.id) for each in checked.records])
        if (blocked := checked.blocked) is not None:
            message = f"the answer of the language model was blocked as {blocked.category!r} and is not kept"
            raise BackendError(FailureCode.CONTENT_BLOCKED, message)

    def _check(self, recipe: Recipe, input_: BaseModel, owner: str) -> tuple[PromptTexts, ChainResult]:
        texts = recipe.get_texts(input_) if recipe.get_texts is not None else _all_texts(input_)
        request = ModerationInput(texts, owner, recipe.name)
        return texts, self._chain.judge(request, rewritable=recipe.replace_texts is not None)

    def record(self, owner: str, drafts: Sequence[Draft]) -> None:
        """Store the decisions of new jobs. Call it before the jobs are stored, for the same transaction or an
        earlier one."""
        decisions = [_decision(each, owner, draft.id) for draft in drafts for each in draft.moderation]
        if decisions:
            self._decisions.begin(decisions)


def _apply_rewrite(recipe: Recipe, input_: Any, texts: PromptTexts, checked: ChainResult) -> Any:
    if checked.texts == texts or recipe.replace_texts is None:
        return input_
    return recipe.replace_texts(input_, checked.texts)


def _all_texts(input_: BaseModel) -> PromptTexts:
    """Return all texts of an input, for a recipe that does not name its prompt fields."""
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
    """A finished picture, the input of a classifier."""

    data: bytes
    info: PictureInfo
    raster: Callable[[int, int], bytes]
    """Returns its pixels scaled to a width and a height, row by row, as red, green and blue bytes."""


class Classifier(Protocol):
    """A picture classifier. Many threads call it, once for each picture before it is stored."""

    @property
    def name(self) -> str:
        """Lower-case name for settings and stored decisions."""
        ...

    def judge(self, picture: Picture, job: Job) -> ModerationResult:
        """Classify a picture; the verdict ``rewrite`` counts as ``flag``."""
        ...


class PictureGate:
    """Runs the classifiers on a finished picture, and stores their decisions."""

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
        """Return the categories of its flags. Raises `BackendError` for a picture that may not be stored."""
        if not self._classifiers:
            return []
        picture = Picture(data, info, lambda width, height: self._raster(data, width, height))
        flags: list[str] = []
        for classifier in self._classifiers:
            result = classifier.judge(picture, job)
            if result.verdict is Verdict.ALLOW:
                continue
            self._record(classifier.name, result, job, data)
            if result.verdict is Verdict.BLOCK:
                message = f"the finished picture was blocked as {result.category!r} and is not stored"
                raise BackendError(FailureCode.CONTENT_BLOCKED, message)
            flags.append(result.category)
        return flags

    def _record(self, name: str, result: ModerationResult, job: Job, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        record = ModerationRecord(name[:64], result.verdict, result.category[:64], digest)
        self._decisions.record([_decision(record, job.owner, job.id)])


def _decision(record: ModerationRecord, owner: str, job_id: str | None) -> Decision:
    return Decision(uuid7(), owner, now_us(), job_id, record)
