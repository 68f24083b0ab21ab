"""Fixed plots of the test world; none of them is shown to a model before it is tested."""

from core.data.synthetic.forms import Form

TEST_FORMS: tuple[Form, ...] = (
    Form(
        "tank-fill",
        (
            "A tank holds {a} litres and has {b} litres in it. A pump adds {c} litres each minute. "
            "How many minutes until the tank is full?",
        ),
        {"a": (100, 600, 10), "b": (10, 90, 10), "c": (5, 30, 5)},
        (("litres missing", "a - b", "p"), ("number of minutes", "p / c", "r")),
    ),
    Form(
        "concert",
        (
            "{name} sells {a} tickets at {b} dollars and {c} tickets at {d} dollars for a concert. "
            "The hall costs {e} dollars. How much money is left for {o}?",
        ),
        {"a": (5, 40, 1), "b": (4, 15, 1), "c": (5, 40, 1), "d": (4, 15, 1), "e": (30, 250, 10)},
        (
            ("money from the first tickets", "a * b", "p"),
            ("money from the second tickets", "c * d", "q"),
            ("whole money", "p + q", "t"),
            ("money left", "t - e", "r"),
        ),
    ),
    Form(
        "phone-plan",
        (
            "{name} pays {a} dollars a month for a phone and a single fee of {b} dollars. What "
            "does the phone cost in {c} months?",
        ),
        {"a": (10, 60, 1), "b": (10, 90, 1), "c": (3, 12, 1)},
        (("cost of the months", "a * c", "p"), ("whole cost", "p + b", "r")),
    ),
    Form(
        "herd",
        (
            "A shepherd called {name} has {a} sheep. {g}% of them are black, and {b} of the others "
            "are brown. How many are neither black nor brown?",
        ),
        {"a": (40, 600, 20), "g": (10, 60, 5), "b": (5, 100, 1)},
        (
            ("black sheep", "a * g / 100", "q"),
            ("others", "a - q", "t"),
            ("sheep left", "t - b", "r"),
        ),
    ),
    Form(
        "brothers",
        (
            "{name} weighs {a} pounds. {friend} weighs {b} pounds less, and {other} weighs as much "
            "as both of them together. How heavy is {other}?",
        ),
        {"a": (60, 220, 1), "b": (5, 50, 1)},
        (("weight of {friend}", "a - b", "p"), ("weight of {other}", "a + p", "r")),
    ),
    Form(
        "swim-laps",
        (
            "{name} swims {a} laps of {b} meters every day for {c} days. {friend} swims {d} meters "
            "in all. How many meters more does {name} swim?",
        ),
        {"a": (4, 12, 1), "b": (20, 50, 5), "c": (2, 6, 1), "d": (100, 900, 10)},
        (
            ("meters in a day", "a * b", "p"),
            ("meters of {name}", "p * c", "q"),
            ("meters more", "q - d", "r"),
        ),
    ),
    Form(
        "recipe",
        (
            "A recipe for {a} people needs {b} grams of flour. How many grams does {name} need for "
            "{c} people?",
        ),
        {"a": (2, 8, 1), "b": (100, 800, 10), "c": (3, 15, 1)},
        (("grams for one", "b / a", "p"), ("grams in all", "p * c", "r")),
    ),
    Form(
        "rent-split",
        (
            "{name}, {friend} and {other} rent a boat for {a} hours at {b} dollars an hour and pay "
            "{c} dollars for fuel. They split it evenly. What does each of the three pay?",
        ),
        {"a": (2, 9, 1), "b": (12, 60, 1), "c": (10, 90, 1)},
        (
            ("cost of the boat", "a * b", "p"),
            ("whole cost", "p + c", "q"),
            ("share of each", "q / 3", "r"),
        ),
    ),
    Form(
        "factory",
        (
            "A machine makes {a} parts an hour. It runs {b} hours, and {c} of the parts are bad. "
            "The good ones are packed {d} to a box. How many boxes does {name} fill?",
        ),
        {"a": (10, 60, 1), "b": (3, 9, 1), "c": (5, 60, 1), "d": (4, 12, 1)},
        (
            ("parts in all", "a * b", "p"),
            ("good parts", "p - c", "q"),
            ("number of boxes", "q / d", "r"),
        ),
    ),
    Form(
        "stairs",
        (
            "A tower has {a} floors with {b} stairs each. {name} has climbed {c} stairs. How many "
            "stairs remain to the top?",
        ),
        {"a": (6, 30, 1), "b": (10, 24, 1), "c": (20, 200, 1)},
        (("stairs in all", "a * b", "p"), ("stairs left", "p - c", "r")),
    ),
    Form(
        "film-minutes",
        (
            "{name} watches a film of {a} hours and {b} minutes. {S} has seen {c} minutes of it. "
            "How many minutes are left?",
        ),
        {"a": (2, 4, 1), "b": (5, 55, 5), "c": (15, 100, 1)},
        (
            ("minutes of the hours", "a * 60", "p"),
            ("minutes in all", "p + b", "q"),
            ("minutes left", "q - c", "r"),
        ),
    ),
    Form(
        "weeks-of-milk",
        (
            "A family drinks {a} litres of milk a day. {name} has bought {b} litres for {c} weeks. "
            "How many litres are too many?",
        ),
        {"a": (2, 9, 1), "b": (60, 300, 1), "c": (2, 4, 1)},
        (
            ("number of days", "c * 7", "p"),
            ("litres needed", "a * p", "q"),
            ("litres too many", "b - q", "r"),
        ),
    ),
    Form(
        "bricks",
        (
            "A wall of {a} by {b} meters takes {c} bricks for each square meter. {name} has {d} "
            "bricks. How many more does {s} need?",
        ),
        {"a": (3, 12, 1), "b": (2, 6, 1), "c": (8, 30, 1), "d": (50, 400, 10)},
        (
            ("square meters", "a * b", "p"),
            ("number needed", "p * c", "q"),
            ("number missing", "q - d", "r"),
        ),
    ),
    Form(
        "two-taps",
        (
            "One tap gives {a} litres a minute and another gives {b}. After {c} minutes {name} "
            "takes {d} litres out. How many litres are there?",
        ),
        {"a": (4, 30, 1), "b": (4, 30, 1), "c": (3, 12, 1), "d": (10, 90, 1)},
        (
            ("litres in a minute", "a + b", "p"),
            ("litres in all", "p * c", "q"),
            ("litres left", "q - d", "r"),
        ),
    ),
)
