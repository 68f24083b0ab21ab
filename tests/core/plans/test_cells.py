"""Cells: the product of what a plan varies, under identities that only the experiment decides."""

import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config.load import build_config, config_hash
from core.errors import UserError
from core.plans.cells import experiment_id
from core.plans.load import load_plan
from core.plans.plan import Plan

HEAD = 'name = "p"\n'
AB = '[groups.A]\n[groups.B]\ntrain.supervise = "answer"\n'
BASE = "[base]\ntrain.epochs = 1\n"


@pytest.fixture
def load(tmp_path: Path):
    def read(text: str) -> Plan:
        path = tmp_path / "plan.toml"
        path.write_text(text, encoding="utf-8")
        return load_plan(path)

    return read


def titles(plan: Plan) -> list[str]:
    return [cell.title for cell in plan.cells]


def test_axes_groups_zips_and_seeds_make_the_product(load) -> None:
    plan = load(
        HEAD
        + "seeds = [0, 1]\n"
        + BASE
        + '[axes]\ndata.size = [16, "full"]\n'
        + '[[zip]]\n"train.lr" = [1e-3, 1e-4]\n"train.batch_size" = [8, 16]\n'
        + '[groups.A]\n[groups.B]\ntrain.supervise = "answer"\n'
    )
    assert len(plan.cells) == 2 * 2 * 2 * 2
    assert titles(plan)[:3] == [
        "A lr 0.001 batch_size 8 size 16 seed 0",
        "A lr 0.001 batch_size 8 size 16 seed 1",
        "A lr 0.001 batch_size 8 size full seed 0",
    ]
    last = plan.cells[-1].config
    assert (last.data.size, last.train.lr, last.train.batch_size) == (None, 1e-4, 16)
    assert (last.train.supervise, last.seed, last.group) == ("answer", 1, "p")


def test_identities_are_the_same_tomorrow(load) -> None:
    plan = load(HEAD + BASE + "[axes]\ndata.size = [16, 32]\n")
    assert [cell.id for cell in plan.cells] == ["37af7ed3", "9499cd1e"]


def test_what_is_no_part_of_the_experiment_moves_no_identity(load) -> None:
    plain = load(HEAD + BASE + "[axes]\ndata.size = [16, 32]\n")
    other = load(
        '# another machine\nname = "q"\nnote = "n"\n'
        + BASE
        + 'note = "x"\ntags = ["t"]\ntrain.threads = 2\ntrain.gpus = 4\nmodel.device = "cpu"\n'
        + 'train.schedule = "cosine"\n'  # the default, said
        + "[axes]\ndata.size = [32, 16]\n"
    )
    assert {cell.id for cell in plain.cells} == {cell.id for cell in other.cells}


def test_what_is_part_of_it_does(load) -> None:
    texts = ["", "train.lr = 1e-4\n", "evaluation.limit = 5\n", 'kind = "dpo"\n']
    assert len({load(HEAD + BASE + text).cells[0].id for text in texts}) == len(texts)


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["lr", "warmup", "weight_decay", "beta1", "clip_norm", "epsilon"]),
        st.floats(0.01, 0.9),
        min_size=1,
    ),
    st.randoms(),
)
def test_the_order_of_settings_moves_no_identity(
    tree: dict[str, float], rng: random.Random
) -> None:
    keys = list(tree)
    rng.shuffle(keys)
    shuffled = {key: tree[key] for key in keys}
    one, other = (build_config({"train": t}) for t in (tree, shuffled))
    assert experiment_id(one) == experiment_id(other)


def test_labels_find_runs_again_and_move_no_config_hash(load) -> None:
    cell = load(HEAD + BASE + "[groups.A]\n").cells[0]
    assert cell.config.tags == (f"cell:{cell.id}", "set:A")
    bare = cell.config.model_copy(update={"tags": (), "name": None, "group": None})
    assert config_hash(cell.config) == config_hash(bare)


@pytest.mark.parametrize(
    ("same", "amount", "setting", "value"),
    [
        ("epochs", 1.5, "epochs", 1.5),
        ("updates", 96, "steps", 96),
        ("tokens", 5000, "tokens", 5000),
    ],
)
def test_a_budget_is_the_same_for_every_cell(
    load, same: str, amount: float, setting: str, value: float
) -> None:
    plan = load(
        f"{HEAD}[base]\n[axes]\ndata.size = [16, 32]\n"
        f'[budget]\nsame = "{same}"\namount = {amount}\n'
    )
    assert [getattr(cell.config.train, setting) for cell in plan.cells] == [value, value]


def test_grpo_gets_as_many_rollout_batches_as_its_updates_need(load) -> None:
    plan = load(
        HEAD
        + '[base]\nkind = "grpo"\ngrpo.rollout_batch = 64\n[axes]\n"grpo.train_batch" = [64, 16]\n'
        + '[budget]\nsame = "updates"\namount = 40\n'
    )
    assert [cell.config.grpo.steps for cell in plan.cells] == [40, 10]


def test_cells_start_from_one_stage_for_each_seed(load) -> None:
    plan = load(
        HEAD
        + 'seeds = [0, 1]\n[base]\nkind = "grpo"\ndata.size = 64\nevaluation.limit = 8\n'
        + '[start]\ncheckpoint = "best"\ndata.size = 32\ntrain.epochs = 2\n'
        + '[groups.zero]\nstart = false\n[groups.tuned]\n[groups.kl]\n"grpo.kl" = 0.1\n'
    )
    first, second = plan.all.starts
    assert (first.config.kind, first.config.data.size, first.config.evaluation.limit) == (
        "sft",
        32,
        8,
    )
    assert (first.config.group, first.config.seed, second.config.seed) == ("p/start", 0, 1)
    assert [cell.start for cell in plan.cells] == [None, None, *([first.id, second.id] * 2)]
    assert {cell.checkpoint for cell in plan.cells} == {"best"}
    assert list(plan.by_id)[:2] == [first.id, second.id]


def test_axes_reach_into_the_stage_before(load) -> None:
    plan = load(
        HEAD
        + '[base]\nkind = "grpo"\n[start]\ntrain.epochs = 1\n[axes]\n"start.data.size" = [16, 32]\n'
    )
    assert [cell.config.data.size for cell in plan.all.starts] == [16, 32]
    assert len({cell.id for cell in plan.cells}) == 2


def test_a_base_may_stand_in_its_own_file(load, tmp_path: Path) -> None:
    (tmp_path / "sft.toml").write_text('kind = "sft"\nname = "x"\n[train]\nepochs = 3\nlr = 1e-4\n')
    cell = load(HEAD + '[base]\nconfig = "sft.toml"\ntrain.lr = 1e-5\n').cells[0]
    assert (cell.config.train.epochs, cell.config.train.lr) == (3, 1e-5)


def test_cells_are_chosen_by_id_and_by_label(load) -> None:
    plan = load(HEAD + BASE + '[axes]\ndata.size = [16, 32, "full"]\n' + AB)
    chosen = plan.select(["group=A", "size=16", "data.size=full"])
    assert [cell.title for cell in chosen] == ["A size 16 seed 0", "A size full seed 0"]
    assert plan.select([plan.cells[3].id[:6]]) == (plan.cells[3],)
    for wrong, said in (("sise=16", "did you mean 'data.size'"), ("zzz", "has no cell 'zzz'")):
        with pytest.raises(UserError, match=said):
            plan.select([wrong])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[base]\ntrain.lrr = 1\n", "base.train.lrr is not a setting; did you mean 'train.lr'"),
        ("[base]\ntrain.learning_rate = 1\n", "did you mean 'train.lr'?"),
        ("[base]\n[axes]\ntrain.lr = 1\n", "axes.train.lr: Input should be a list (got 1)"),
        ("[base]\n[axes]\ndata.sise = [1]\n", "'data.sise' is not a setting; did you mean"),
        ("[base]\n[axis]\ndata.size = [1]\n", "axis is not known here; did you mean 'axes'"),
        ("[base]\n[axes]\nseed = [1]\n", "list seeds under seeds"),
        ("[base]\nseed = 1\n", "base.seed does not belong there"),
        ("[base]\n[axes]\ndata.size = []\n", "the list in 'data.size' is empty"),
        ("[base]\n[axes]\ndata.size = [1, 1]\n", "1 is there twice in 'data.size'"),
        ("seeds = [-1]\n[base]\n", "-1 is not a seed"),
        ('[base]\n[[zip]]\n"train.lr" = [1]\n"data.size" = [1, 2]\n', "have one length"),
        ("[base]\n[groups.A]\n[groups.B]\n", "are the same experiment"),
        ('[base]\n[budget]\nsame = "steps"\namount = 1\n', "budget.same: Input should be"),
        ("[base]\ntrain.lr = -1\n", "train.lr: Input should be greater than 0"),
        ('[base]\ntrain.steps = 1\n[budget]\nsame="updates"\namount=1\n', "are both budgets"),
        ('[base]\n[axes]\n"start.data.size" = [1]\n', "there is none"),
        ('[base]\n[start]\ncheckpoint = "first"\n', "checkpoint is last or best, not 'first'"),
        ("[base]\n[halving]\nat = [8]\n", "is not evaluated at step 8"),
        ("[base]\n[search.space]\ntrain.lr = {low = 2, high = 1}\n", "is not below high"),
        ("[base]\n[axes]\ndata.size=[1]\n[search.space]\ntrain.lr={low=1,high=2}\n", "has no axes"),
        (
            '[base]\n[groups.A]\n[[criterion]]\nname="c"\ncandidates=["AA"]\nbaseline="A"\n'
            'direction="higher"\n',
            "names the set 'AA'; did you mean 'A'",
        ),
        ("[base\n", "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(load, text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        load(HEAD + text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


_VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=True),
        st.sampled_from(["", "full", "A", "sft", "train.lr", "last"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["data.size", "train", "lr", "A", "low", "high", "kind", "start"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)
_PLACES = [
    *("name", "seeds", "base", "start", "axes", "zip", "groups", "sets", "budget", "criterion"),
    *("halving", "search", "question", "base.train", "axes.data", "groups.A", "budget.amount"),
    *("criterion.0.baseline", "criterion.0.at", "search.space"),
]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(_PLACES), _VALUES)
def test_whatever_a_plan_says_it_is_read_or_refused_in_a_sentence(place: str, value: Any) -> None:
    tree: Any = {
        "name": "p",
        "base": {"train": {"epochs": 1}},
        "axes": {"data.size": [1, 2]},
        "groups": {"A": {}, "B": {"train.lr": 1e-3}},
        "criterion": [
            {"name": "c", "candidates": ["A"], "baseline": "B", "direction": "higher"},
        ],
    }
    *above, leaf = place.split(".")
    inner = tree
    for key in above:
        inner = inner[int(key)] if key.isdecimal() else inner.setdefault(key, {})
    inner[leaf] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.toml"
        path.write_text(tomli_w.dumps(tree), encoding="utf-8")
        try:
            said = load_plan(path).name
        except UserError as error:
            said = str(error)
        assert said
        assert "\n" not in said
