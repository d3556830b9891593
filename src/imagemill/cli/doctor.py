"""``imagemill doctor``: checks all parts of this installation and says how to repair each fault."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli.output import (
    REFUSED,
    UNUSABLE,
    CliError,
    DataDir,
    Json,
    Printer,
    Profile,
    mark_level,
    read_settings,
)

if TYPE_CHECKING:
    from imagemill.domain.nodes import Finding

_Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="PART", help="Check only this part; may be repeated."),
]


def doctor(
    only: _Only = None, data_dir: DataDir = None, profile: Profile = None, as_json: Json = False
) -> None:
    """Check settings, plug-ins, folder, database, broker, blobs, nodes and processes.

    Exit status 1 for an error.
    """
    out = Printer(as_json)
    found: list[Finding] = []
    with out.reporting():
        for finding in _findings(only, data_dir=data_dir, profile=profile):
            found.append(finding)
            _print_finding(out, finding)
    ok = all(finding.level != "error" for finding in found)
    if as_json:
        out.json({"ok": ok, "findings": [_to_json(finding) for finding in found]})
    raise typer.Exit(0 if ok else REFUSED)


def _findings(only: list[str] | None, **given: Any) -> "Iterable[Finding]":
    """Run the checks; only findings about the settings if these cannot be read.

    Raises `CliError` for an unknown part.
    """
    from imagemill.bootstrap import doctor_checks
    from imagemill.domain.nodes import Finding, Level

    unknown = sorted(set(only or ()) - set(doctor_checks.PARTS))
    if unknown:
        known = ", ".join(doctor_checks.PARTS)
        raise CliError(f"--only: no such part: {', '.join(unknown)}; the parts are {known}", UNUSABLE)
    try:
        settings = read_settings(**given)
    except CliError as error:
        lines = error.details or (error.message,)
        return [Finding(Level.ERROR, "settings", f"{line}; correct it") for line in lines]
    checks = doctor_checks.list_checks(settings)
    return doctor_checks.run_checks([(part, check) for part, check in checks if not only or part in only])


def _print_finding(out: Printer, finding: "Finding") -> None:
    from rich.text import Text

    subject = f"{finding.level:<9}{finding.subject:<12}"
    out.say(Text.assemble(mark_level(finding.level), subject, finding.message))


def _to_json(finding: "Finding") -> dict[str, str]:
    return {"level": finding.level.value, "subject": finding.subject, "message": finding.message}
