"""Finds out what a path holds: whose files they are, and which of them make a run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError
from core.interchange import course_folder, lm_eval, mlflow_sqlite, tensorboard_log, wandb_folder
from core.interchange.foreign import ForeignRun, Source
from core.interchange.mlflow_sqlite import SQLITE_MAGIC
from core.registry.journal import JOURNAL_NAME

_DEEPEST = 10
_MOST_FOLDERS = 20_000
_DATABASE_ENDINGS = (".db", ".sqlite", ".sqlite3")


@dataclass(frozen=True, slots=True)
class Found:
    """Something that can be imported.

    Attributes:
        root: What was asked for.
        files: The files that belong together, where a folder holds several such groups.
    """

    source: Source
    path: Path
    root: Path
    files: tuple[Path, ...] = ()

    def runs(self) -> Iterator[ForeignRun]:
        """The runs in it; none for a run folder of our own, which is merged instead.

        Raises:
            UserError: it cannot be read.
        """
        match self.source:
            case Source.WANDB:
                yield wandb_folder.read_wandb(self.path)
            case Source.TENSORBOARD:
                root = self.root if self.root.is_dir() else None
                yield tensorboard_log.read_tensorboard(self.path, root)
            case Source.MLFLOW:
                yield from mlflow_sqlite.read_mlflow(self.path)
            case Source.COURSE:
                yield course_folder.read_course(self.path)
            case Source.LM_EVAL:
                yield lm_eval.read_lm_eval(self.path, list(self.files))


def discover(path: Path, wanted: Source | None = None) -> list[Found]:
    """What can be imported from a path, in the order of the names.

    Links below the path are not followed.

    Args:
        path: A file or a folder.
        wanted: Only this tool's files.

    Raises:
        UserError: it does not exist, or holds nothing that is known.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist; give a file or folder to import")
    found = list(_of_file(path, wanted) if path.is_file() else _of_folder(path, path, wanted))
    if not found:
        raise UserError(f"{path} holds nothing that can be imported{_hint(path, wanted)}")
    return found


def _of_file(path: Path, wanted: Source | None) -> Iterator[Found]:
    source = wanted or _kind_of_file(path)
    if source is None:
        return
    if source is Source.RUN:
        yield Found(source, path.parent, path.parent)
    elif source is Source.LM_EVAL:
        groups = lm_eval.sessions(path.absolute().parent)
        for files in groups.values():
            if path.absolute() in files:
                yield Found(source, path, path, tuple(files))
    else:
        yield Found(source, path, path)


def _kind_of_file(path: Path) -> Source | None:
    name = path.name
    if name == JOURNAL_NAME:
        return Source.RUN
    if name.endswith(".wandb"):
        return Source.WANDB
    if "tfevents" in name:
        return Source.TENSORBOARD
    if _is_database(path):
        return Source.MLFLOW
    if name.startswith(("samples_", "results_")) and path.suffix in (".json", ".jsonl"):
        return Source.LM_EVAL
    return Source.COURSE if path.suffix in (".json", ".jsonl") else None


def _of_folder(
    folder: Path, root: Path, wanted: Source | None, depth: int = 0, budget: list[int] | None = None
) -> Iterator[Found]:
    budget = [_MOST_FOLDERS] if budget is None else budget
    budget[0] -= 1
    if depth > _DEEPEST or budget[0] < 0:
        return
    try:
        children = sorted(child for child in folder.iterdir() if not child.is_symlink())
    except OSError:
        return
    whole = _whole_folder(folder, children, wanted)
    if whole is not None:
        yield Found(whole, folder, root)
        return
    yield from _parts(folder, children, root, wanted)
    for child in children:
        if child.is_dir():
            yield from _of_folder(child, root, wanted, depth + 1, budget)


def _whole_folder(folder: Path, children: list[Path], wanted: Source | None) -> Source | None:
    """The tool whose one run this folder is, with everything below it."""
    names = {child.name for child in children}
    if wanted in (None, Source.RUN) and JOURNAL_NAME in names:
        return Source.RUN
    if wanted in (None, Source.WANDB) and any(
        name.startswith("run-") and name.endswith(".wandb") for name in names
    ):
        return Source.WANDB
    if wanted in (None, Source.COURSE) and (
        course_folder.step_logs(folder) or (names & {"test_log.json", "test_log.jsonl"})
    ):
        return Source.COURSE
    return None


def _parts(
    folder: Path, children: list[Path], root: Path, wanted: Source | None
) -> Iterator[Found]:
    """Runs right in a folder that may hold more below."""
    if wanted in (None, Source.LM_EVAL):
        for files in lm_eval.sessions(folder).values():
            yield Found(Source.LM_EVAL, folder, root, tuple(files))
    if wanted in (None, Source.TENSORBOARD) and tensorboard_log.event_files(folder):
        yield Found(Source.TENSORBOARD, folder, root)
    if wanted in (None, Source.MLFLOW):
        for child in children:
            if child.suffix in _DATABASE_ENDINGS and child.is_file() and _is_database(child):
                yield Found(Source.MLFLOW, child, root)


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(len(SQLITE_MAGIC)) != SQLITE_MAGIC:
            return False
    return mlflow_sqlite.is_mlflow(path)


def _hint(path: Path, wanted: Source | None) -> str:
    if wanted is not None:
        return f" as {wanted.label}; leave --from out to let the files decide"
    if (path.is_dir() and (path / "meta.yaml").is_file()) or path.name == "mlruns":
        return "; MLflow's file store is not read, its SQLite store is (mlflow.db)"
    return f"; known are {', '.join(source.label for source in Source)}"
