"""Settles a run that ended without saying so."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.registry.records import RunRecord, RunStatus
    from core.registry.store import Registry
    from core.workspace import Workspace


def settle(
    workspace: "Workspace", registry: "Registry", run: "RunRecord", reason: str
) -> "RunStatus":
    """Bring in what its journal holds, and mark it as interrupted unless that says how it ended.

    Args:
        workspace: Where its folder is.
        registry: Where it is recorded.
        run: The run.
        reason: Noted as the reason of its end.

    Raises:
        UserError: the registry cannot be written.
    """
    from core.registry.afterwards import journal_end
    from core.registry.journal import merge_journal
    from core.registry.liveness import LOST, display_status
    from core.registry.records import RunStatus

    folder = workspace.run_folder(run.id)
    merge_journal(registry, folder)
    ended = registry.run_by_uuid(run.uuid).status.settled
    if not ended and display_status(run) == LOST:
        journal_end(registry, run, folder, reason)
    if not registry.run_by_uuid(run.uuid).status.settled:
        registry.set_status(run.uuid, RunStatus.INTERRUPTED, exit_reason=reason)
    return registry.run_by_uuid(run.uuid).status
