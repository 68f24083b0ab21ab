"""The table of exit codes, and that commands end with what it says.

Those of signals are tried where runs are stopped (test_resume.py, test_stopped_writes.py).
"""

from pathlib import Path

import pytest

from a5ctl.exit_codes import ExitCode
from core.plans.codes import CellExit
from tests.a5ctl import handmade
from tests.a5ctl.conftest import ROOT, House
from tests.a5ctl.handmade import evaluation, right


def test_the_reference_lists_every_code() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for code in ExitCode:
        assert f"| {int(code)} | {code.meaning}".replace("|", "") in text.replace("|", "")


def test_cells_of_plans_end_with_the_same_codes() -> None:
    assert {int(code) for code in CellExit} == {int(code) for code in ExitCode}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("ls",), ExitCode.DONE),
        (("show", "a-run"), ExitCode.DONE),
        (("protocol", "diff", "a-run", "b-run"), ExitCode.FAILED),
        (("show", "nobody"), ExitCode.BAD_INPUT),
        (("nonsense",), ExitCode.BAD_INPUT),
        (("ls", "--nonsense"), ExitCode.BAD_INPUT),
    ],
)
def test_commands_end_with_their_code(
    tmp_path: Path, words: tuple[str, ...], code: ExitCode
) -> None:
    for name, cap in (("a-run", 256), ("b-run", 512)):
        made = evaluation([right(10)], protocol=handmade.protocol(max_tokens=cap))
        handmade.record(tmp_path, name, [made])
    assert House(tmp_path, tmp_path, tmp_path).run(*words).exit_code == code
