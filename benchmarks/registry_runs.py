"""Runs as a laboratory has them after a year: matrices over seeds, lines of methods, accidents.

Settings are validated by the real configuration, so that listings and comparisons meet what they
meet in use: every default written out, runs that start from other runs, groups, tags and notes.
"""

import itertools
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from core.config.load import build_config, config_hash, to_tree

SEEDS = 5
LARGE_GROUP = "sweep-large"
"""Name of one group of hundreds of runs."""
_LARGE = 60  # settings of the large group, each with every seed
_YEAR_S = 365 * 86_400
_KINDS = ("sft", "sft", "sft", "grpo", "ei", "dpo", "eval")
_STATUSES = (("finished", 88), ("failed", 5), ("interrupted", 4), ("running", 2), ("queued", 1))
_TAGS = ("good", "paper", "rerun", "baseline", "long", "ablation")
_ALPHABET = "bcdfghjkmnpqrstvwxz23456789"
_COMMON = (
    *("loss", "grad_norm", "lr", "tokens", "tokens_total", "epoch", "step_seconds"),
    *("tokens_per_second", "padding_share", "supervised_fraction", "unchanged_share"),
)
_SAMPLED = (
    *("reward", "entropy", "response_tokens", "right_share", "formatted_share", "solved_share"),
    *("truncated_share", "distinct_share", "generate_seconds", "grade_seconds", "sync_seconds"),
)
_OWN = {
    "grpo": ("kl", "clip_fraction", *_SAMPLED),
    "ei": ("kept", "kept_problems", *_SAMPLED),
    "dpo": ("margin", "reward_chosen", "reward_rejected", "preferred_share"),
}


@dataclass(frozen=True, slots=True)
class MadeRun:
    """One run to write.

    Attributes:
        key: Of its row, from 1.
        created: Seconds since the epoch.
        resumed: It went on from a checkpoint behind which it had recorded more.
        quality: Where its last evaluation ends up, from 0 to 1.
        protocol: Which of two protocols it is evaluated by.
    """

    key: int
    uuid: str
    id: str
    kind: str
    status: str
    created: float
    config: dict[str, Any]
    config_hash: str
    parent_uuid: str | None
    resumed: bool
    quality: float
    protocol: int
    archived: bool
    tags: tuple[str, ...] = ()
    note: str = ""
    group: str | None = None
    name: str | None = None


def metric_names(kind: str, count: int) -> list[str]:
    """So many metrics that a run of this kind records; probes of single layers fill up."""
    layers = (f"layer_norm/{number:02d}" for number in itertools.count())
    return list(itertools.islice(itertools.chain(_COMMON, _OWN.get(kind, ()), layers), count))


def make_runs(count: int, steps: int, seed: int, now: float) -> Iterator[MadeRun]:
    """So many runs of so many steps, oldest first; the seed decides everything but the time."""
    maker = _Maker(random.Random(seed), count, steps, now)
    while maker.made < count:
        yield from itertools.islice(maker.matrix(), count - maker.made)


@dataclass
class _Maker:
    rng: random.Random
    count: int
    steps: int
    now: float
    made: int = 0
    matrices: int = 0
    settings: int = 0
    parents: dict[int, dict[int, MadeRun]] = field(default_factory=dict)

    def matrix(self) -> Iterator[MadeRun]:
        """One setting or several over all seeds, as one group."""
        large = self.matrices == 1 and self.count > 2 * _LARGE * SEEDS
        kind = "sft" if large or self.matrices < 2 else self.rng.choice(_KINDS)
        settings = _LARGE if large else self.rng.randint(1, 5)
        group = LARGE_GROUP if large else f"matrix-{self._letters(4)}-{self.matrices}"
        self.matrices += 1
        for _ in range(settings):
            self.settings += 1
            tree, quality, line = self._setting(kind), self.rng.random(), self.rng.randrange(2**20)
            for seed in range(SEEDS):
                yield self._run(tree, seed, group, quality, line)

    def _setting(self, kind: str) -> dict[str, Any]:
        choose = self.rng.choice
        lr = round(choose((1, 2, 3, 5)) * 10 ** -choose((3, 4, 5)) * (1 + self.settings / 1e4), 9)
        trees: dict[str, dict[str, Any]] = {
            "sft": {"data": {"size": choose((128, 256, 512, 1024, None))}, "train": {"lr": lr}},
            "grpo": {"grpo": {"clip_high": choose((0.2, 0.28))}, "train": {"lr": lr / 10}},
            "ei": {"ei": {"questions": choose((256, 512))}, "train": {"lr": lr}},
            "dpo": {"dpo": {"beta": choose((0.05, 0.1, 0.5))}, "train": {"lr": lr / 10}},
            "eval": {"evaluation": {"temperature": 0.0}},
        }
        return {"kind": kind, **trees[kind]}

    def _run(
        self, tree: dict[str, Any], seed: int, group: str, quality: float, line: int
    ) -> MadeRun:
        rng, kind = self.rng, tree["kind"]
        parent = self._parent(kind, seed, line)
        labels: dict[str, Any] = {"seed": seed, "group": group}
        labels |= {"tags": rng.sample(_TAGS, rng.choice((0, 0, 0, 1, 2)))}
        if rng.random() < 0.1:
            labels["name"] = f"{rng.choice(_TAGS)} attempt {self.made}"
        if parent is not None:
            labels["model"] = {"run": parent.id, "run_step": self.steps}
        config = build_config({**tree, **labels})
        self.made += 1
        size = config.data.size
        status = rng.choices([name for name, _ in _STATUSES], [share for _, share in _STATUSES])[0]
        made = MadeRun(
            key=self.made,
            uuid=uuid.UUID(int=rng.getrandbits(128), version=4).hex,
            id=f"{kind}-{size or 'full'}-{self._letters(3)}{self.made}",
            kind=kind,
            status=status,
            created=self.now - _YEAR_S * (1 - self.made / (self.count + 1)),
            config=to_tree(config),
            config_hash=config_hash(config),
            parent_uuid=None if parent is None else parent.uuid,
            resumed=rng.random() < 0.05,
            quality=min(1.0, max(0.0, quality + rng.gauss(0, 0.03))),
            protocol=int(line % 5 == 0),
            archived=rng.random() < 0.03,
            tags=config.tags,
            note="see the notebook" if rng.random() < 0.05 else "",
            group=group,
            name=config.name,
        )
        if kind == "sft" and status == "finished":
            self.parents.setdefault(self.settings, {})[seed] = made
        return made

    def _parent(self, kind: str, seed: int, line: int) -> MadeRun | None:
        """Runs of one setting start from runs of one setting, seed by seed."""
        if kind == "sft" or not self.parents:
            return None
        settings = list(self.parents)
        return self.parents[settings[line % len(settings)]].get(seed)

    def _letters(self, count: int) -> str:
        return "".join(self.rng.choices(_ALPHABET, k=count))
