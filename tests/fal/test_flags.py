"""``has_nsfw_concepts``: what the classifiers of finished pictures said of each."""

from dataclasses import dataclass, replace
from typing import Any

from imagemill.bootstrap.application import Application
from imagemill.domain.jobs import Job
from imagemill.domain.moderation import ALLOWED, ModerationResult, Verdict
from imagemill.jobs.outputs import OutputChecks
from imagemill.safety.gates import Picture, PictureGate
from tests.fal.support import FAST, accepted, direct, wanted


@dataclass
class EverySecond:
    """Flags every second picture it sees."""

    name: str = "second"
    seen: int = 0

    def judge(self, picture: Picture, job: Job) -> ModerationResult:
        self.seen += 1
        return ALLOWED if self.seen % 2 else ModerationResult(Verdict.FLAG, "nsfw")


def classified(app: Application) -> None:
    gate = PictureGate([EverySecond()], app.stores.decisions, app.safety.intake.raster)
    seen = OutputChecks(app.safety.intake.inspect, gate.judge)
    app.runner.steps.options = replace(app.runner.steps.options, output_checks=seen)  # pyright: ignore[reportPrivateUsage]


def test_the_flags_are_those_of_each_picture(make_server: Any) -> None:
    server = make_server(prepare=classified)
    output = accepted(direct(server, FAST, wanted(num_images=4)))

    assert output["has_nsfw_concepts"] == [False, True, False, True]


def test_who_does_not_ask_is_not_told(make_server: Any) -> None:
    server = make_server(prepare=classified)
    output = accepted(direct(server, FAST, wanted(num_images=2, enable_safety_checker=False)))

    assert output["has_nsfw_concepts"] == [False, False]
