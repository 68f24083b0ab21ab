"""What every command does, so that the program's help imports none of them.

Written by docs/generate.py; edit the commands, not this file.
"""

# fmt: off
# ruff: noqa: E501
SUMMARIES = {
    "init": "Write a5ctl.toml, the defaults of this workspace: which model, which data, which engine.",
    "doctor": "Look at software, engines, machine and workspace before a run does.",
    "fetch": "Bring models and data into folders, to be used where there is no network.",
    "ls": "List runs, newest first, with the accuracy of their last evaluation.",
    "show": "Show one run: evaluations, metrics, configuration, provenance, events, artifacts.",
    "compare": "Compare runs by their last evaluation; only the settings that differ are columns.",
    "diagnose": "Say why the wrong responses of a run are wrong, and show them.",
    "probe": "Find out what the length cap took away, and whether unclosed answers were known.",
    "plot": "Draw metrics over the steps of runs: one chart per metric, one line per setting.",
    "report": "Write one page that holds everything about some runs: it needs no network and no a5ctl.",
    "ui": "Look through runs, curves and responses in a full-screen terminal, while they grow.",
    "sql": "Ask the registry in SQL; the connection can only read.",
    "resume": "Go on with a killed, stopped or failed run, as if nothing had happened.",
    "reproduce": "Make a run again from its stored configuration, data and weights, and compare the two.",
    "close": "Mark a stale or lost run as interrupted, with everything its journal holds.",
    "grade": "Grade responses that another tool generated, and say why the wrong ones are wrong.",
    "regrade": "Grade the stored responses of a run again where a grader has a new version.",
    "pairs": "Pair right and wrong responses to the same prompt, for a5ctl run dpo.",
    "import": "Bring runs from elsewhere into the registry: curves, settings, results and responses.",
    "note": "Set the note of a run; without a text, show it.",
    "archive": "Move runs into the archive: ls and compare leave them out unless --archived is given.",
    "delete": "Say what goes with runs: rows, folder, bytes, the runs that lose their parent; then delete.",
    "tag": "Put tags on runs and take them off; without changes, show them.",
}
