"""`a5ctl registry check`: is the registry sound, and does it agree with the run folders?"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from a5ctl.options import HomeOption, JsonOption, QuietOption, RegistryOption

if TYPE_CHECKING:
    from core.registry.check import CheckReport

_ON_A_SERVER = (
    "a5ctl registry copy --to FILE makes one, and a5ctl registry check --registry FILE looks at it"
)


def check(
    quick: Annotated[
        bool, typer.Option("--quick", help="Compare sizes only, without reading checkpoints.")
    ] = False,
    quiet: QuietOption = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Look for damage: in the database, in what it refers to, in run folders and recorded files.

    Changes nothing. Exits with 1 when something is wrong; every finding says what to do. Runs that
    may be alive are left out where they would be in the middle of something.

    Examples:

        a5ctl registry check --quick
    """
    from a5ctl.console import out, plain, print_json
    from a5ctl.progress import Stop, progress
    from a5ctl.registry_place import registry_place
    from core.registry.check import check_registry

    workspace, database, file = registry_place(home, registry, _ON_A_SERVER, exists=False)
    told = progress("checking runs", "runs", stop=Stop.UNCHANGED, quiet=quiet, as_json=json_)
    with told as report_progress:
        report = check_registry(database, file, workspace, report_progress, read=not quick)
    if json_:
        print_json(_as_json(database.label, report))
    else:
        console = out()
        for finding in report.findings:
            console.print(plain(finding.sentence), soft_wrap=True)
        style = "bold red" if report.findings else "bold green"
        console.print(plain(_verdict(database.label, report), style), soft_wrap=True)
    if report.findings:
        raise typer.Exit(1)


def _verdict(label: str, report: "CheckReport") -> str:
    from a5ctl.format import counted

    looked = f"{counted(report.runs, 'run')} and {counted(report.artifacts, 'recorded file')}"
    alive = f", of {report.alive} that may be alive only the rows" if report.alive else ""
    findings = len(report.findings)
    wrong = f"{counted(findings, 'finding')}" if findings else "nothing is wrong"
    return f"{label}: {wrong}; {looked} were looked at{alive}"


def _as_json(label: str, report: "CheckReport") -> dict[str, Any]:
    return {
        "registry": label,
        "ok": not report.findings,
        "runs": report.runs,
        "alive": report.alive,
        "artifacts": report.artifacts,
        "findings": [
            {
                "kind": finding.kind.value,
                "subject": finding.subject,
                "problem": finding.problem,
                "remedy": finding.remedy,
            }
            for finding in report.findings
        ],
    }
