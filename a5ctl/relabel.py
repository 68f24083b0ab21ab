"""Changes tags, notes and the archive of several runs, and says what they are now."""

from collections.abc import Callable, Sequence

from a5ctl.console import out, plain, print_json
from a5ctl.only_here import say_only_in_the_registry
from core.registry.labels import Labels, Relabelled, relabel
from core.registry.store import Registry
from core.workspace import Workspace


def change_runs(
    workspace: Workspace,
    registry: Registry,
    names: Sequence[str],
    change: Callable[[Labels], Labels] | None,
    say: Callable[[Labels], str],
    *,
    json_: bool,
) -> None:
    """Change the labels of every run, or none where a name fits no run; then show them.

    Args:
        workspace: Where the run folders are.
        registry: Where the runs are.
        names: As people name runs.
        change: What to do; only show when None.
        say: The part of the labels that is spoken of.
        json_: One JSON document instead of a line per run.

    Raises:
        UserError: a name fits no run, or something cannot be written.
    """
    runs = {run.uuid: run for run in map(registry.find_run, names)}
    done: dict[str, Relabelled] = {}
    for run in runs.values():
        if change is None:
            now = Labels(run.tags, run.note, run.archived)
            done[run.id] = Relabelled(now, changed=False, kept=True)
        else:
            folder = workspace.run_folder(run.id)
            done[run.id] = relabel(registry.database, run, folder, change)
    if json_:
        print_json([_json(run_id, found) for run_id, found in done.items()])
        return
    for run_id, found in done.items():
        line = plain(run_id, "bold").append_text(plain(f"  {say(found.labels)}", ""))
        out().print(line, soft_wrap=True)
    if missing := [run_id for run_id, found in done.items() if not found.kept]:
        say_only_in_the_registry(missing)


def _json(run_id: str, found: Relabelled) -> dict[str, object]:
    labels = found.labels
    return {
        "id": run_id,
        "tags": list(labels.tags),
        "note": labels.note,
        "archived": labels.archived,
        "changed": found.changed,
        "in_run_folder": found.kept,
    }
