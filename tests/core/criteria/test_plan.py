"""Plans in TOML: what they hold, what they refuse, and what identifies them."""

import tomllib
from pathlib import Path

import pytest

from core.criteria.plan import Direction, RunSet, load_plan, plan_changes, plan_hash
from core.errors import UserError
from core.registry.records import RunRecord, RunStatus

PLAN = """
name = "filters"
[sets.A]
group = "matrix"
settings = { "data.filter" = "none" }
[sets.B]
group = "matrix"
settings = { "data.filter" = ["correct", "solved-by"] }
[[criterion]]
name = "B beats A"
candidates = ["B"]
baseline = "A"
at = { "data.size" = [1024, "full"], "train.epochs" = [1, 2] }
direction = "higher"
[[criterion]]
name = "small sizes"
candidates = ["B"]
baseline = "A"
direction = "not_lower"
margin = 2.5
"""


def write(folder: Path, text: str = PLAN) -> Path:
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_combination_of_places_is_compared(tmp_path: Path):
    beats, _ = load_plan(write(tmp_path)).plan.criterion
    places = list(beats.places())
    assert len(places) == 4
    assert places[0] == {"data.size": 1024, "train.epochs": 1}
    assert places[3] == {"data.size": "full", "train.epochs": 2}


@pytest.mark.parametrize(
    ("direction", "boundary", "upwards"),
    [
        (Direction.HIGHER, 0.025, True),
        (Direction.LOWER, -0.025, False),
        (Direction.NOT_LOWER, -0.025, True),
        (Direction.NOT_HIGHER, 0.025, False),
    ],
)
def test_the_boundary_lies_where_the_claim_ends(
    tmp_path: Path, direction: Direction, boundary: float, upwards: bool
):
    text = PLAN.replace('"not_lower"', f'"{direction}"')
    _, criterion = load_plan(write(tmp_path, text)).plan.criterion
    assert criterion.boundary == pytest.approx(boundary)
    assert criterion.direction.upwards is upwards


def test_comments_layout_and_order_of_keys_do_not_change_the_hash(tmp_path: Path):
    first = load_plan(write(tmp_path)).hash
    moved = PLAN.replace('name = "B beats A"\n', "").replace(
        'direction = "higher"', '# why\ndirection   = "higher"\nname = "B beats A"'
    )
    assert load_plan(write(tmp_path, moved)).hash == first
    assert load_plan(write(tmp_path, PLAN.replace("2.5", "2.6"))).hash != first
    assert plan_hash(tomllib.loads(PLAN)) == first


def test_changes_are_named_part_by_part():
    text = PLAN.replace("2.5", "5.0").replace('"matrix"', '"other"', 1)
    text += '[[criterion]]\nname = "new"\ncandidates = ["B"]\nbaseline = "A"\ndirection = "lower"\n'
    text = text.replace("B beats A", "B is better")
    assert plan_changes(PLAN, text) == [
        "criterion 'B beats A' removed",
        "criterion 'B is better' added",
        "criterion 'new' added",
        "criterion 'small sizes' changed",
        "set 'A' changed",
    ]


def run(**values: object) -> RunRecord:
    nothing = dict.fromkeys(RunRecord.__dataclass_fields__)
    known = {"id": "sft-256-aaaa", "kind": "sft", "status": RunStatus.FINISHED, "tags_json": "[]"}
    return RunRecord(**{**nothing, **known, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chosen", "holds"),
    [
        ({"group": "matrix"}, True),
        ({"group": "other"}, False),
        ({"name": "sft-*"}, True),
        ({"name": "night-?"}, True),
        ({"name": "grpo-*"}, False),
        ({"kind": "eval"}, False),
        ({"tags": ["final"]}, True),
        ({"tags": ["final", "draft"]}, False),
        ({"settings": {"data.size": 256}}, True),
        ({"settings": {"data.size": [128, 256]}}, True),
        ({"settings": {"data.size": "full"}}, False),
        ({"settings": {"train.lr": 1e-5}}, False),
        ({"group": "matrix", "kind": "eval"}, False),
    ],
)
def test_a_run_belongs_to_a_set_that_it_fits_in_every_respect(
    chosen: dict[str, object], holds: bool
):
    found = run(group="matrix", name="night-1", tags_json='["final", "long"]')
    assert RunSet.model_validate(chosen).holds(found, {"data.size": 256}) is holds


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('baseline = "A"', 'baseline = "C"', "names the set 'C'; sets are A, B"),
        ('baseline = "A"', 'baseline = "B"', "compares 'B' with itself"),
        ("small sizes", "B beats A", "'B beats A' is there twice"),
        ("data.filter", "data.filtre", "did you mean 'data.filter'"),
        ("data.size", "size", "'size' is not a setting"),
        ('"higher"', '"better"', "got 'better'"),
        ("margin = 2.5", "margin = -2.5", "greater than or equal to 0"),
        ("margin = 2.5", "metrics = 2.5", "criterion.1.metrics is not known here"),
        ('[sets.A]\ngroup = "matrix"\n', "[sets.A]\n[sets.Z]\n", "a set needs group"),
        ('name = "filters"', "", "name: Field required"),
        ('name = "filters"', "name = ", "not valid TOML"),
        ("", "a = " + "[" * 5000 + "]" * 5000, "nested too deep"),
        ("[1, 2]", "[" + "9" * 5000 + "]", "not valid TOML: Exceeds the limit"),
        ("[1, 2]", "[]", "the list in 'train.epochs' is empty"),
        ("[1, 2]", "[1, 0, 0]", "0 is there twice in 'train.epochs'"),
        ('["B"]', '["B", "B"]', "'B' is there twice"),
        ("[1, 2]", str(list(range(501))), "1,002 comparisons are asked for; 1,000 is most"),
        ('"higher"', '"' + "y" * 9999 + '"', "yyy..."),
    ],
)
def test_a_wrong_plan_is_refused_in_one_sentence(
    tmp_path: Path, before: str, after: str, message: str
):
    assert before in PLAN
    text = PLAN.replace(before, after, 1)
    with pytest.raises(UserError) as refused:
        load_plan(write(tmp_path, text))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_plan_of_experiments_is_sent_to_its_own_command(tmp_path: Path):
    with pytest.raises(UserError, match="a5ctl plan report judges them"):
        load_plan(write(tmp_path, 'name = "x"\n[base]\nkind = "sft"\n'))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.toml cannot be read"):
        load_plan(tmp_path / "none.toml")
