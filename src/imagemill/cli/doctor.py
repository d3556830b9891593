"""``imagemill doctor``: everything this machine needs, looked at from here, with a remedy for each fault."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli.output import REFUSED, UNUSABLE, CliError, DataDir, Json, Printer, Profile, read_settings

if TYPE_CHECKING:
    from imagemill.domain.nodes import Finding

_MARKS = {"ok": ("✓ ", "green"), "warning": ("! ", "yellow"), "error": ("✗ ", "bold red")}
_Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="PART", help="Look at this part alone; may be repeated."),
]


def doctor(
    only: _Only = None, data_dir: DataDir = None, profile: Profile = None, as_json: Json = False
) -> None:
    """Look at settings, folder, database, broker, redis, blobs and nodes. Exit status 1 for an error."""
    out = Printer(as_json)
    found: list[Finding] = []
    with out.reporting():
        for finding in _findings(only, data_dir=data_dir, profile=profile):
            found.append(finding)
            _show(out, finding)
    ok = all(finding.level != "error" for finding in found)
    if as_json:
        out.json({"ok": ok, "findings": [_told(finding) for finding in found]})
    raise typer.Exit(0 if ok else REFUSED)


def _findings(only: list[str] | None, **given: Any) -> "Iterable[Finding]":
    """Raises `CliError` for a part there is not. Settings that cannot be read end the examination."""
    from imagemill.cli import doctor_checks
    from imagemill.cli.doctor_checks import run
    from imagemill.domain.nodes import Finding, Level

    wrong = sorted(set(only or ()) - set(doctor_checks.PARTS))
    if wrong:
        known = ", ".join(doctor_checks.PARTS)
        raise CliError(f"--only: no such part: {', '.join(wrong)}; known are {known}", UNUSABLE)
    try:
        settings = read_settings(**given)
    except CliError as error:
        lines = error.details or (error.sentence,)
        return [Finding(Level.ERROR, "settings", f"{line}; correct it") for line in lines]
    checks = doctor_checks.checks(settings)
    return run([(part, check) for part, check in checks if not only or part in only])


def _show(out: Printer, finding: "Finding") -> None:
    from rich.text import Text

    mark = _MARKS[finding.level]
    out.say(Text.assemble(mark, f"{finding.level:<9}{finding.subject:<12}", finding.message))


def _told(finding: "Finding") -> dict[str, str]:
    return {"level": finding.level.value, "subject": finding.subject, "message": finding.message}
