"""A registry full of text that wants to run, to hide, or to break out of a page.

Every text sets `RAN` where a script of it runs: as a property of the window, or as the title.
"""

from pathlib import Path

from core.engines.base import FinishReason
from core.registry.recorder import Recorder
from core.registry.records import NewRun
from core.registry.store import Registry, open_registry
from core.workspace import open_workspace
from tests.a5ctl.handmade import evaluation

RAN = "hostileRan"
_RUN = f"window.{RAN}=1;document.title='{RAN}'"
TEXTS = (
    f"<script>{_RUN}</script>",
    f"</script><script>{_RUN}</script>",
    f"</style><script>{_RUN}</script>",
    f"</pre></details></main><script>{_RUN}</script>",
    f'"><img src=x onerror="{_RUN}">',
    f"<img src=x onerror={_RUN}>",
    f"<svg onload={_RUN}><animate onbegin={_RUN}>",
    f"' onmouseover='{_RUN}' autofocus onfocus='{_RUN}' x='",
    f'<a href="javascript:{_RUN}">click</a>',
    f"<iframe srcdoc='<script>parent.{RAN}=1</script>'>",
    "<meta http-equiv=refresh content='0;url=https://example.org/'>",
    "<link rel=stylesheet href=https://example.org/x.css><base href=https://example.org/>",
    "<form action=https://example.org/><button>ok</button>",
    "{{ 7 * 7 }} {% include 'report.html' %} ${alert(1)} <%= 1 %>",
    "<!-- --><![CDATA[ ]]> &lt;script&gt; &#60;script&#62; %3Cscript%3E",
    f"line\u2028separator\u2029{_RUN}",
    "right \u202eto left\u202c \u2066isolate\u2069 \u200f\u061c mark \u200bzero\ufeffwidth",
    "\x1b[2J\x1b]8;;https://example.org\x07link\x1b]8;;\x07 \x07 \x08\x08 \x7f \x9b31m",
    "nul \x00 byte and \ud800 lone surrogate \udfff",
    "A" * 100_000,
    "word " * 20_000,
    "\n" * 5_000 + "end",
    "\u0301" * 300 + "zalgo",
    "<think><think></think> <answer><answer> 3 </answer></answer> " * 20,
    "</think> <answer> <b>12</b> </answer>",
    " so it is 33 </think> <answer> 33 </answer>",
)
"""Responses; problem i has the truth 10 + i."""


def record_hostile(home: Path) -> None:
    """Runs of the group `evil`: hostile responses, questions, notes, names, metrics and events."""
    registry = open_registry(open_workspace(home).registry_url())
    for number in range(2):
        _record(registry, home, number)
    registry.close()


def _record(registry: Registry, home: Path, number: int) -> None:
    text = TEXTS[number]
    config = {"kind": "sft", "model": {"source": text}, "data": {"source": TEXTS[4]}}
    config["prompt"] = {"template": TEXTS[5]}
    config["train"] = {"lr": 0.001 * (1 + number)}
    new = NewRun(
        kind="sft",
        config=config,
        config_hash=TEXTS[3],
        model=text,
        data=TEXTS[4],
        name=TEXTS[6],
        group="evil",
        seed=0,
        tags=(TEXTS[7], "\u202egat"),
        note="\n".join(TEXTS[:19]),
        provenance={
            "argv": ["a5ctl", "run", TEXTS[1]],
            "git": {"commit": TEXTS[2], "dirty": True, "diff": "\n".join(TEXTS[:10])},
            "packages": {TEXTS[0]: TEXTS[5]},
            "machine": {"cpu": TEXTS[8], "gpus": [TEXTS[9]]},
        },
        id=f"sft-evil-{number}",
    )
    run = registry.create_run(new)
    answers = [(one, FinishReason.EOS) for one in TEXTS]
    questions = dict(enumerate(reversed(TEXTS)))
    with Recorder(registry, run.uuid, home / "runs" / run.id) as recorder:
        for step in (0, 5):
            truths = [TEXTS[n] if n % 5 == 1 else str(10 + n) for n in range(len(TEXTS))]
            recorder.evaluation(evaluation(answers, step=step, questions=questions, truths=truths))
        for step in range(1, 6):
            recorder.metrics(step, {"loss": 1 / step, "grad_norm": float("nan")})
        for one in TEXTS:
            recorder.event("warning", one[:50], one, step=3, data={one[:200]: [one]})
