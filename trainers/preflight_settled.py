"""What becomes of a preflight's findings: recorded, shown, and the end of the run where fatal."""

from core.errors import UserError
from trainers.preflight_report import PreflightReport
from trainers.stage import Stage


def settle_preflight(stage: Stage, report: PreflightReport) -> None:
    """Record findings (once, not on resume) and show them.

    Raises:
        UserError: one of them is fatal.
    """
    if not stage.resuming:
        for finding in report.findings:
            stage.recorder.event(finding.severity, f"preflight.{finding.check}", finding.message)
    stage.observer.preflight(report)
    if report.fatal:
        raise UserError(f"preflight stopped the run: {report.fatal[0].message}")
