"""Sentences of the chain problems, by kind of event, for the train world and the test world."""

TRAIN_WORDINGS: dict[str, tuple[str, ...]] = {
    "gain": (
        "{S} {gain} {n} more {items}.",
        "Then {s} {gain} another {n} {items}.",
        "{friend} gives {o} {n} more {items}.",
        "The next day {s} {gain} {n} {items}.",
        "Later {n} more {items} are added.",
    ),
    "lose": (
        "{S} {lose} {n} {items}.",
        "Then {s} {lose} {n} of them.",
        "{friend} takes {n} of the {items}.",
        "{S} gives {n} {items} to {friend}.",
        "In the evening {n} {items} are gone.",
    ),
    "multiply": (
        "After a month {s} has {times} as many {items}.",
        "The number of {items} grows to {times} as many.",
        "A year later there are {times} as many {items}.",
    ),
    "batch": (
        "{S} {gain} {k} {boxes} with {m} {items} each.",
        "Then {k} {boxes} arrive, each with {m} {items}.",
        "{friend} brings {k} {boxes} of {m} {items}.",
    ),
    "daily": (
        "Each day {s} {lose} {m} {items}, for {k} days.",
        "For {k} days {s} {lose} {m} {items} per day.",
        "Then {k} friends take {m} {items} each.",
    ),
    "share": (
        "{S} gives {fraction} of the {items} to {friend}.",
        "Then {fraction} of the {items} are sold.",
        "{S} {lose} {fraction} of them.",
    ),
    "keep": (
        "{S} keeps only {fraction} of the {items}.",
        "Only {fraction} of the {items} are good, and the rest are thrown away.",
    ),
    "percent": (
        "{S} {lose} {percent}% of the {items}.",
        "Then {percent}% of the {items} are sold.",
        "{friend} takes {percent}% of them.",
    ),
    "price": (
        "{S} sells all the {items} for {k} dollars each. How many dollars does {s} get?",
        "Each of the {items} costs {k} dollars. What are they worth in dollars?",
    ),
    "pack": (
        "{S} packs the {items} into {boxes} of {k}. How many {boxes} are needed?",
        "The {items} are put in {boxes}, {k} in each. How many {boxes} are there?",
    ),
    "target": (
        "{S} wants to have {n} {items}. How many more does {s} need?",
        "How many {items} are missing to make {n}?",
    ),
    "final": (
        "{S} {gain} {n} more. How many {items} does {s} have now?",
        "{friend} brings {n} more {items}. How many {items} are there in the end?",
        "At last {n} {items} are added. How many {items} are there in all?",
    ),
    "compare": (
        "{friend} has {comparison} {name}. How many {items} does {friend} have?",
        "If {friend} has {comparison} {name}, how many does {friend} have?",
    ),
    "together": (
        "{friend} has {comparison} {name}. How many {items} do they have together?",
        "If {friend} has {comparison} {name}, how many {items} do both have in total?",
    ),
    "distractor": (
        "{S} is {n} years old.",
        "The way home takes {n} minutes.",
        "{other} has {n} books.",
        "It is day {n} of the month.",
        "{P} house has number {n}.",
    ),
}

# Some sentences of the test world are worded as no training text is.
TEST_WORDINGS: dict[str, tuple[str, ...]] = TRAIN_WORDINGS | {
    "gain": (*TRAIN_WORDINGS["gain"], "After lunch {s} {gain} {n} extra {items}."),
    "lose": (*TRAIN_WORDINGS["lose"], "On Monday {s} {lose} {n} of the {items}."),
    "multiply": (
        *TRAIN_WORDINGS["multiply"],
        "By the end of the season {s} has {times} as many {items} as before.",
    ),
    "final": (
        *TRAIN_WORDINGS["final"],
        "Finally {n} {items} come in. What is the number of {items} at the end?",
    ),
    "distractor": (*TRAIN_WORDINGS["distractor"], "{friend} drives {n} miles to get there."),
}
