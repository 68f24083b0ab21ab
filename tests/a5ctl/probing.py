"""A handmade evaluation to probe, and an engine that goes on from what was said in it."""

import re
from dataclasses import replace
from typing import Any

import pytest

import trainers.probe
from core.engines.base import FinishReason
from core.evaluation import EvaluationResult
from core.models import BUILTIN_PATH, load_tokenizer
from core.provenance import data_hash
from tests.a5ctl import handmade
from tests.a5ctl.handmade import EOS, LENGTH, STOP, cut, right, unclosed, wrong
from tests.scripted import Script, ScriptedEngine

ANSWERS = [
    right(10),
    wrong(11),
    cut(12),
    cut(13),
    ("so it is 14.", EOS),
    unclosed(15),
    ("so it </think> <answer> 1", LENGTH),
    ("I do not know.", EOS),
]


def evaluation(answers: list = ANSWERS, **options: Any) -> EvaluationResult:
    """As handmade, with a data hash that its problems really have."""
    made = handmade.evaluation(answers, **options)
    generation = replace(made.protocol.generation, data_hash=data_hash(made.problems))
    sampling = replace(generation.sampling, max_tokens=8)
    return replace(
        made,
        protocol=replace(made.protocol, generation=replace(generation, sampling=sampling)),
    )


def script(prompt: str) -> tuple[str, FinishReason]:
    """Knows every answer but that of p003 and p007; goes on from what it said."""
    found = re.search(r"How many is (\d+) \+ 10\?", prompt)
    assert found is not None
    truth = 10 + int(found[1])
    said = truth if truth not in (13, 17) else 99
    if prompt.endswith("<answer>"):
        return f" {said} </answer>", STOP
    if prompt.endswith("<answer> 1"):
        return "6 </answer>", STOP
    start = dict(enumerate(text for text, _ in ANSWERS))[truth - 10]
    closing = "" if "<answer>" in start else f" so it is {said} </think> <answer> {said}"
    return f"{start}{closing or '6'} </answer>", STOP


def install_engine(monkeypatch: pytest.MonkeyPatch, said: Script) -> ScriptedEngine:
    """Put a scripted engine in place of the real one; the built-in tokenizer and prompts stay."""
    made = ScriptedEngine(load_tokenizer(BUILTIN_PATH), said)
    monkeypatch.setattr(trainers.probe, "build_engine", lambda *_, **__: made)
    return made
