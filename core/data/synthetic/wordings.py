"""Sentences of the chain problems, by kind of event, for the train world and the test world."""

TRAIN_WORDINGS: dict[str, tuple[str, ...]] = {
    "gain": (
        "{S} {gain} {n} more {items}.",
        "Then {s} {gain} another {n} {items}.",
        "{friend} gives {o} {n} more {items}.",
        "The next day {s} {gain} {n} {items}.",
        "Later {n} more {items} are added.",
        "After that {s} {gain} {n} of them.",
        "A day later {n} {items} come in.",
        "With the help of {friend}, {s} {gain} {n} extra {items}.",
    ),
    "lose": (
        "{S} {lose} {n} {items}.",
        "Then {s} {lose} {n} of them.",
        "{friend} takes {n} of the {items}.",
        "{S} gives {n} {items} to {friend}.",
        "In the evening {n} {items} are gone.",
        "After lunch {s} {lose} {n} of the {items}.",
        "On Friday {n} of the {items} are taken away.",
        "Soon {s} {lose} {n} {items}.",
    ),
    "multiply": (
        "After a month {s} has {times} as many {items}.",
        "The number of {items} grows to {times} as many.",
        "A year later there are {times} as many {items}.",
        "By the end of the week {s} has {times} as many.",
        "Soon there are {times} as many {items} as before.",
    ),
    "batch": (
        "{S} {gain} {k} {boxes} with {m} {items} each.",
        "Then {k} {boxes} arrive, each with {m} {items}.",
        "{friend} brings {k} {boxes} of {m} {items}.",
        "On Monday {k} {boxes} come, and each of them holds {m} {items}.",
        "{S} {gain} {m} {items} in each of {k} {boxes}.",
    ),
    "dozen": (
        "{S} {gain} {k} dozen {items}.",
        "Then {k} dozen more {items} arrive.",
        "{friend} brings {k} dozen {items}.",
    ),
    "daily": (
        "Each day {s} {lose} {m} {items}, for {k} days.",
        "For {k} days {s} {lose} {m} {items} per day.",
        "Then {k} friends take {m} {items} each.",
        "{S} {lose} {m} {items} a day, and this goes on for {k} days.",
        "{k} children come, and each of them gets {m} of the {items}.",
    ),
    "weekly": (
        "Each day {s} {gain} {m} {items}, for {k} weeks.",
        "For {k} weeks {s} {gain} {m} {items} every day.",
    ),
    "share": (
        "{S} gives {fraction} of the {items} to {friend}.",
        "Then {fraction} of the {items} are sold.",
        "{S} {lose} {fraction} of them.",
        "On Sunday {fraction} of the {items} are gone.",
    ),
    "part": (
        "{S} {lose} {part} of the {items}.",
        "Then {part} of the {items} are taken by {friend}.",
        "A storm ruins {part} of them.",
    ),
    "keep": (
        "{S} keeps only {fraction} of the {items}.",
        "Only {fraction} of the {items} are good, and the rest are thrown away.",
        "All but {fraction} of them are sold.",
    ),
    "percent": (
        "{S} {lose} {percent}% of the {items}.",
        "Then {percent}% of the {items} are sold.",
        "{friend} takes {percent}% of them.",
        "In the night {percent}% of the {items} are lost.",
    ),
    "growth": (
        "The number of {items} goes up by {percent}%.",
        "A month later there are {percent}% more {items}.",
    ),
    "price": (
        "{S} sells all the {items} for {k} dollars each. How many dollars does {s} get?",
        "Each of the {items} costs {k} dollars. What are they worth in dollars?",
        "At {k} dollars each, how many dollars are the {items} worth?",
        "How much money does {s} get if {s} sells them for {k} dollars each?",
    ),
    "pack": (
        "{S} packs the {items} into {boxes} of {k}. How many {boxes} are needed?",
        "The {items} are put in {boxes}, {k} in each. How many {boxes} are there?",
        "How many {boxes} does {s} fill with {k} {items} in each?",
    ),
    "divide": (
        "{k} people share the {items} evenly. How many {items} does each of them get?",
        "The {items} are shared evenly among {k} children. How many does each child get?",
    ),
    "target": (
        "{S} wants to have {n} {items}. How many more does {s} need?",
        "How many {items} are missing to make {n}?",
        "How many more {items} must {s} get to have {n}?",
    ),
    "final": (
        "{S} {gain} {n} more. How many {items} does {s} have now?",
        "{friend} brings {n} more {items}. How many {items} are there in the end?",
        "At last {n} {items} are added. How many {items} are there in all?",
        "Then {n} more come in. What is the number of {items} now?",
    ),
    "remain": (
        "At last {s} {lose} {n} {items}. How many {items} are left?",
        "{friend} takes {n} of them. How many {items} does {name} still have?",
        "If {n} {items} are taken away, how many remain?",
    ),
    "compare": (
        "{friend} has {comparison} {name}. How many {items} does {friend} have?",
        "If {friend} has {comparison} {name}, how many does {friend} have?",
        "How many {items} does {friend} have, who has {comparison} {name}?",
    ),
    "together": (
        "{friend} has {comparison} {name}. How many {items} do they have together?",
        "If {friend} has {comparison} {name}, how many {items} do both have in total?",
        "{friend} has {comparison} {name}. What is the number of {items} of both of them?",
    ),
    "distractor": (
        "{S} is {n} years old.",
        "The way home takes {n} minutes.",
        "{other} has {n} books.",
        "It is day {n} of the month.",
        "{P} house has number {n}.",
        "{friend} is {n} years old.",
        "{other} waits for {n} minutes.",
        "It is {n} degrees outside.",
        "There are {n} people in the street.",
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
    "batch": (*TRAIN_WORDINGS["batch"], "With {friend}, {s} {gain} {k} {boxes} of {m} {items}."),
    "daily": (*TRAIN_WORDINGS["daily"], "For {k} weeks {s} {lose} {m} {items} per week."),
    "percent": (*TRAIN_WORDINGS["percent"], "On the way home {s} {lose} {percent}% of them."),
    "final": (
        *TRAIN_WORDINGS["final"],
        "Finally {n} {items} come in. What is the number of {items} at the end?",
    ),
    "remain": (*TRAIN_WORDINGS["remain"], "In the end {n} of them are gone. How many are left?"),
    "distractor": (*TRAIN_WORDINGS["distractor"], "{friend} drives {n} miles to get there."),
}
