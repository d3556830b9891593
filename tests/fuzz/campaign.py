"""Cases that schemathesis makes up from the OpenAPI document, sent to a server; what its answers break.

``make fuzz``; FUZZ_CASES says how many, FUZZ_SEED repeats a run, FUZZ_DATABASE is sqlite or postgres.
"""

import json
import os
import random
import secrets
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import HypothesisException
from schemathesis import GenerationMode

from tests.fuzz.target import Caller, Target, target

CASES = 20_000
_A_ROUND = 12
"""Cases for each operation, caller and kind before the next is tried."""
_ANSWER_S = 30
_RETRY = (429, 503)


@dataclass
class Report:
    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter[int])
    complaints: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """The first request for each operation and kind of fault."""
    operations: set[str] = field(default_factory=set[str])

    def note(self, operation: str, answer: requests.Response, wrong: str | None) -> None:
        self.cases += 1
        self.operations.add(operation)
        self.statuses[answer.status_code] += 1
        if wrong is not None:
            request = answer.request
            sent = f"{request.method} {request.url} {request.body!r}"[:1500]
            self.complaints.setdefault((operation, wrong), f"{sent}\n    -> {answer.text[:600]}")


@dataclass(frozen=True)
class Line:
    """What is asked in one go: an operation, by one caller, of what is there or of anything."""

    operation: Any
    caller: Caller
    mode: GenerationMode
    things: Mapping[str, str] | None

    @property
    def label(self) -> str:
        return str(self.operation.label)


SIMULATOR = "/api/v1/simulator"


def lines(aim: Target) -> list[Line]:
    schema = schemathesis.openapi.from_dict(_without_security(aim.document))
    found: list[Line] = []
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path.startswith(SIMULATOR) and operation.method.upper() in ("POST", "PUT", "PATCH"):
            continue  # a made-up rule would strike the later requests, and a made-up speed would delay them
        for caller in aim.callers:
            things = _things(operation.path, caller)
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                found += [
                    Line(operation, caller, mode, each) for each in ((None, things) if things else (None,))
                ]
    return found


def _without_security(document: Mapping[str, Any]) -> dict[str, Any]:
    """Keys are ours to send: left to chance, most requests would be refused for theirs."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    copy["components"].pop("securitySchemes", None)
    for item in copy["paths"].values():
        for operation in item.values():
            operation.pop("security", None)
    return copy


def _things(path: str, caller: Caller) -> Mapping[str, str] | None:
    known = next((each for prefix, each in caller.things.items() if path.startswith(prefix)), None)
    return {name: value for name, value in known.items() if f"{{{name}}}" in path} if known else None


def chosen(everything: list[Line], number: int) -> list[Line]:
    """One right and one wrong way to ask for each operation, for when there is no time for more."""
    shuffled = random.Random(number).sample(everything, len(everything))
    return list({(line.label, line.mode): line for line in shuffled}.values())


def run(aim: Target, cases: int, number: int, *, brief: bool = False) -> Report:
    """``number``: the same one makes the same cases; ``brief``: each operation is asked, few times."""
    everything = chosen(lines(aim), number) if brief else lines(aim)
    report, session = Report(), requests.Session()
    session.trust_env = False
    each = max(1, min(_A_ROUND, cases // len(everything)))
    for turn in range(1_000_000):
        before = report.cases
        for line in everything:
            for case in _cases(line, each, number + turn):
                answer = case.call(
                    aim.url, session=session, headers=line.caller.headers, timeout=_ANSWER_S,
                    allow_redirects=False,
                )  # fmt: skip
                report.note(line.label, answer.raw if hasattr(answer, "raw") else answer, wrong(line, answer))
            if report.cases >= cases and not brief:
                return report
        assert report.cases > before, "there are no cases to be made"
        if report.cases >= cases:
            return report
    return report


def _cases(line: Line, count: int, number: int) -> list[Any]:
    """Made before they are sent: what is answered makes no difference to them."""
    made: list[Any] = []
    fixed = {"path_parameters": dict(line.things)} if line.things else {}
    strategy = line.operation.as_strategy(generation_mode=line.mode, **fixed)

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def collect(case: Any) -> None:
        made.append(case)

    try:
        collect()
    except HypothesisException:
        # Nothing can be wrong with a request that has neither parameters nor a body.
        return made
    return made[:count]


def wrong(line: Line, answer: Any) -> str | None:
    """What the answer breaks; None: nothing. A deadline that the request set itself, as fal's may, is missed
    with a 504 that says so."""
    status = answer.status_code
    is_late = status == HTTPStatus.GATEWAY_TIMEOUT and "x-fal-error-type" in answer.headers
    if status >= 500 and status not in _RETRY and not is_late:
        return f"status {status}"
    is_probe = "/health" in line.operation.path  # its 503 is a finding, and no refusal
    if status in _RETRY and "retry-after" not in answer.headers and not is_probe:
        return f"status {status} without Retry-After"
    if "traceparent" not in answer.headers:
        return (
            None if status in (400, 431) else "not an answer of ours"
        )  # the server's own, of what is no HTTP
    said = _declared(line, status)
    if said is None:
        return f"status {status} is not declared"
    return _wrong_type(status, said.get("content", {}), answer)


def _declared(line: Line, status: int) -> Mapping[str, Any] | None:
    """The response that the document has for the status, wherever it stands in it."""
    said = line.operation.definition.raw["responses"].get(str(status))
    if said is None or "$ref" not in said:
        return said
    name = said["$ref"].removeprefix("#/components/responses/")
    return line.operation.schema.raw_schema["components"]["responses"][name]


def _wrong_type(status: int, content: Mapping[str, Any], answer: Any) -> str | None:
    found = (answer.headers.get("content-type") or [""])[0].partition(";")[0]
    if status >= 400 and found not in ("application/problem+json", *content):
        return f"status {status} as {found!r}"
    if content and found not in content and answer.content:
        return f"status {status} as {found!r}, declared: {', '.join(content)}"
    return f"status {status} as {found!r}, and none is declared" if found and not content else None


def told(report: Report, aim: Target, number: int, seconds: float) -> Iterator[str]:
    yield f"{report.cases} cases of {len(report.operations)} operations in {seconds:.0f} s, seed {number}"
    yield "answers: " + ", ".join(f"{count} x {status}" for status, count in sorted(report.statuses.items()))
    for (operation, fault), request in sorted(report.complaints.items()):
        yield f"{operation}: {fault}\n    {request}"
    for trouble in aim.troubles():
        yield f"the server: {trouble}"


def main() -> int:
    warnings.simplefilter("ignore")
    cases = int(os.environ.get("FUZZ_CASES", CASES))
    number = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(2**31))
    sys.stdout.write(f"{cases} cases, seed {number}\n")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        database = ""
        if os.environ.get("FUZZ_DATABASE") == "postgres":
            from tests.postgres import server_url

            database = stack.enter_context(server_url(folder / "postgres"))
        aim = stack.enter_context(target(folder, database))
        start = time.monotonic()
        report = run(aim, cases, number)
        sys.stdout.write("\n".join(told(report, aim, number, time.monotonic() - start)) + "\n")
        return 1 if report.complaints or aim.troubles() else 0


if __name__ == "__main__":
    sys.exit(main())
