"""Which test executes each line that README and docs print.

The first rule that fits a line decides. A line that none fits fails `test_account.py`.
"""

import re
from dataclasses import dataclass

from tests.docs.printed import Line, lines

LOOKED = "test_commands.py"
MADE = "test_made_commands.py"
RESUMED = "test_made_commands.py::test_what_the_pages_stop_goes_on_as_they_say"
SCRIPT = "test_scripts.py"
INSTALLED = "test_installing.py"
SHELL = "test_shell.py"
SERVED = "core/registry/postgresql/test_page.py"
NAMED = "test_account.py::test_what_a_sentence_names_is_there"
OURS = (LOOKED, MADE, RESUMED, SCRIPT, INSTALLED, SHELL, SERVED, NAMED)
"""Tests that are given the lines themselves; they are of this folder where no other is named."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A test that executes such a line in its own way.

    Attributes:
        test: File and function, from `tests/`.
        words: What of the line stands in the file.
    """

    test: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotHere:
    """A line that no test executes.

    Attributes:
        reason: Why.
    """

    reason: str


Way = str | Elsewhere | NotHere

_RAY = Elsewhere(
    "a5ctl/cluster/test_ray.py::"
    "test_what_a_lost_node_was_at_work_at_goes_on_from_its_checkpoint_elsewhere",
    ("plan", "run", "--on"),
)
_PLAN = Elsewhere(
    "a5ctl/test_plan.py::test_a_plan_that_is_killed_ends_as_one_that_was_not", ("plan", "run")
)
_SPOKEN: tuple[tuple[str, Way], ...] = (
    (r"a5ctl\b", NAMED),
    (r"mkdocs build$", Elsewhere("docs/test_site.py::site", ("mkdocs", "build"))),
    (r"python docs/generate.py$", Elsewhere(
        "docs/test_generated.py::test_reference_is_up_to_date", ("generate.py",)
    )),
    (r"module load", NotHere("the cluster's own command")),
)  # fmt: skip
_RULES: tuple[tuple[str, Way], ...] = (
    (r"a5ctl .*\[OPTIONS\]$", NAMED),
    (r"a5ctl --install-completion$", Elsewhere(
        "a5ctl/test_completion.py::"
        "test_installed_in_bash_it_neither_splits_nor_runs_what_names_say",
        ("--install-completion",),
    )),
    (r"a5ctl ui\b", Elsewhere(
        "a5ctl/tui/test_command.py::"
        "test_on_a_real_terminal_it_draws_answers_and_leaves_the_terminal_as_it_was",
        ("ui", "--home"),
    )),
    (r"a5ctl init$", Elsewhere(
        "a5ctl/test_init.py::test_on_a_terminal_it_asks_again_until_an_answer_can_be_used",
        ("init",),
    )),
    (r"a5ctl fetch ", Elsewhere(
        "a5ctl/test_fetch.py::test_model_and_data_come_as_folders_and_runs_use_them_offline",
        ("fetch", "--data", "gsm8k", "--to"),
    )),
    (r"a5ctl plan run .*--on (ray|head)", _RAY),
    (r"a5ctl plan run .*--on slurm --site \S+$", Elsewhere(
        "a5ctl/cluster/test_slurm.py::"
        "test_a_run_that_hits_its_walltime_goes_on_in_another_job_though_its_follower_was_killed",
        ("plan", "run", "--on", "slurm", "--site"),
    )),
    (r"a5ctl plan run .*--on pbs --site \S+$", Elsewhere(
        "a5ctl/cluster/test_pbs.py::"
        "test_a_cell_that_runs_out_of_time_gets_another_job_and_a_failed_one_none",
        ("plan", "run", "--on", "pbs", "--site"),
    )),
    (r"a5ctl plan run .*--search tpe", Elsewhere(
        "a5ctl/test_plan_search.py::test_a_search_learns_from_results", ("tpe",)
    )),
    (r"a5ctl plan run (?!.*--on )", _PLAN),
    (r"a5ctl plan (cell|status|report|check) plan.toml|a5ctl (plan stop|report plan.toml)", MADE),
    (r"a5ctl plan run .*--dry-run$", Elsewhere(
        "a5ctl/cluster/test_script.py::test_a_script_is_as_it_was_looked_at", ("slurm",)
    )),
    (r"a5ctl registry copy --to postgresql", Elsewhere(
        "core/registry/postgresql/test_commands.py::test_a_copy_says_what_it_holds",
        ("registry", "copy", "--to"),
    )),
    (r"a5ctl model pretrain .*--resume", Elsewhere(
        "trainers/test_pretraining.py::test_killed_run_goes_on_with_the_same_numbers", ("resume",)
    )),
    (r"a5ctl model pretrain", Elsewhere(
        "a5ctl/test_model_command.py::test_pretrain_writes_a_model_that_loads",
        ("model", "pretrain", "--out"),
    )),
    (r"a5ctl resume|timeout --signal INT .* a5ctl run", RESUMED),
    (r"timeout --signal KILL .* a5ctl run", Elsewhere(
        "a5ctl/test_resume.py::test_a_killed_run_goes_on_with_the_same_numbers", ("run", "sft")
    )),
    (r"timeout .* a5ctl plan run", _PLAN),
    (r"(\w+=\S+ )*a5ctl (run|reproduce|probe|pairs|import|model (make|fits))\b", MADE),
    (r"a5ctl ", LOOKED),
    (r"python docs/tutorial.py", Elsewhere(
        "docs/test_tutorial.py::test_a_block_is_run_and_rewritten", ("tutorial.py",)
    )),
    (r"python -m examples.flawed_targets", Elsewhere(
        "a5ctl/test_examples.py::test_example_runs_to_its_end", ("full_data_cliff.sh",)
    )),
    (r"(\w+=\S+ )*(nice )?python (benchmarks|docs|examples)/", SCRIPT),
    (r"python3 bootstrap.py|make ", INSTALLED),
    (r"(\w+=\S+ )*(PEER/bin/)?pip |python -m pip ", INSTALLED),
    (r"module load", NotHere("the cluster's own command")),
    (r"python -c ", NotHere("needs the packages of a GPU machine")),
    (r"(\S+=(\"[^\"]*\"|\S+) )*sh examples/experiments/all.sh", Elsewhere(
        "a5ctl/test_experiments.py::test_all_of_them_make_no_run_twice_and_write_the_page",
        ("all.sh",),
    )),
    (r"(\S+=(\"[^\"]*\"|\S+) )*sh examples/experiments/", Elsewhere(
        "a5ctl/test_experiments.py::test_the_small_variant_runs_to_its_end", ("small.sh",)
    )),
    (r"(\S+=\S+ )*sh examples/", Elsewhere(
        "a5ctl/test_examples.py::test_example_runs_to_its_end", ("size_curve.sh",)
    )),
    (r"createuser |createdb |export A5CTL_REGISTRY=", SERVED),
    (r"\. |python3? -m venv |export |rm |cp |sqlite3 ", SHELL),
)  # fmt: skip


def way(line: Line) -> Way | None:
    """How a line is executed; None where no rule fits."""
    rules = (*_SPOKEN, *_RULES) if line.spoken else _RULES
    return next((found for rule, found in rules if re.match(rule, line.text)), None)


def executed_by(test: str) -> list[Line]:
    """The lines that a test of this folder is given."""
    return [line for line in lines() if way(line) == test]
