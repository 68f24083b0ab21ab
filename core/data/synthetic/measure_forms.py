"""Fixed plots of the train world about measures: units to change, rates, areas and parts."""

from core.data.synthetic.forms import Form

MEASURE_FORMS: tuple[Form, ...] = (
    Form(
        "minutes-of-hours",
        (
            "{name} works {a} hours and {b} minutes. How many minutes is that?",
            "A film takes {a} hours and {b} minutes. How many minutes does {name} watch it?",
        ),
        {"a": (2, 9, 1), "b": (5, 55, 5)},
        (("minutes of the hours", "a * 60", "p"), ("minutes in all", "p + b", "r")),
    ),
    Form(
        "hours-of-minutes",
        (
            "{name} trains {a} minutes each day for {b} days. How many hours is that?",
            "For {b} days {name} walks {a} minutes a day. How many hours does {s} walk?",
        ),
        {"a": (10, 120, 10), "b": (3, 12, 1)},
        (("minutes in all", "a * b", "p"), ("number of hours", "p / 60", "r")),
    ),
    Form(
        "days-of-weeks",
        (
            "{name} reads {a} pages a day for {b} weeks. How many pages does {s} read?",
            "A cow gives {a} litres of milk each day. How many litres are that in {b} weeks?",
        ),
        {"a": (3, 40, 1), "b": (2, 6, 1)},
        (("number of days", "b * 7", "p"), ("whole number", "a * p", "r")),
    ),
    Form(
        "rope-pieces",
        (
            "A rope is {a} meters and {b} centimeters long. {name} cuts it into pieces of {c} "
            "centimeters. How many pieces does {s} get?",
        ),
        {"a": (2, 9, 1), "b": (10, 90, 10), "c": (5, 40, 5)},
        (
            ("centimeters of the meters", "a * 100", "p"),
            ("centimeters in all", "p + b", "q"),
            ("number of pieces", "q / c", "r"),
        ),
    ),
    Form(
        "cents",
        (
            "{name} has {a} dollars. A sweet costs {b} cents. How many sweets can {s} buy?",
            "Each stamp costs {b} cents. How many stamps does {name} get for {a} dollars?",
        ),
        {"a": (2, 12, 1), "b": (5, 50, 5)},
        (("number of cents", "a * 100", "p"), ("number bought", "p / b", "r")),
    ),
    Form(
        "flour-bags",
        (
            "{name} has {a} kilograms of flour. A cake needs {b} grams. How many grams are left "
            "after {c} cakes?",
            "From {a} kilograms of sugar {name} takes {b} grams for each of {c} cakes. How many "
            "grams are left?",
        ),
        {"a": (1, 2, 1), "b": (50, 300, 10), "c": (2, 6, 1)},
        (
            ("grams at first", "a * 1000", "p"),
            ("grams used", "b * c", "q"),
            ("grams left", "p - q", "r"),
        ),
    ),
    Form(
        "speed-of-trip",
        (
            "{name} drives {a} miles in the morning and {b} miles in the evening, {c} hours in "
            "all. How many miles per hour is that on average?",
        ),
        {"a": (30, 240, 10), "b": (30, 240, 10), "c": (2, 9, 1)},
        (("miles in all", "a + b", "p"), ("miles per hour", "p / c", "r")),
    ),
    Form(
        "field-area",
        (
            "A field is {a} meters long and {b} meters wide. {name} plants {c} trees on each "
            "square meter. How many trees are that?",
            "{name} has a garden of {a} by {b} meters and puts {c} plants on every square meter. "
            "How many plants does {s} need?",
        ),
        {"a": (4, 20, 1), "b": (3, 12, 1), "c": (2, 6, 1)},
        (("square meters", "a * b", "p"), ("number planted", "p * c", "r")),
    ),
    Form(
        "fence",
        (
            "A garden is {a} meters long and {b} meters wide. How many meters of fence does "
            "{name} need to go around it?",
            "{name} walks once around a square of {a} by {b} meters. How many meters is that?",
        ),
        {"a": (5, 120, 1), "b": (5, 120, 1)},
        (("length and width", "a + b", "p"), ("way around", "p * 2", "r")),
    ),
    Form(
        "fraction-of-class",
        (
            "Of {a} children {u} in {v} play football, and {b} of these are girls. How many boys "
            "play football?",
        ),
        {"a": (24, 240, 12), "u": (1, 2, 1), "v": (3, 4, 1), "b": (3, 60, 1)},
        (("children who play", "a * u / v", "p"), ("boys who play", "p - b", "r")),
    ),
    Form(
        "raise",
        (
            "{name} earns {a} dollars a week. Then {s} gets {g}% more. How much does {s} earn a "
            "week now?",
            "A room cost {a} dollars. The price rises by {g}%. What does it cost now?",
        ),
        {"a": (40, 800, 20), "g": (5, 50, 5)},
        (("money more", "a * g / 100", "d"), ("new amount", "a + d", "r")),
    ),
    Form(
        "overtime",
        (
            "{name} gets {a} dollars an hour for {b} hours and {c} dollars more for each hour "
            "after that. {S} works {d} hours after that. What is the pay in all?",
        ),
        {"a": (8, 25, 1), "b": (4, 10, 1), "c": (2, 9, 1), "d": (2, 6, 1)},
        (
            ("pay of the first hours", "a * b", "p"),
            ("pay for a later hour", "a + c", "h"),
            ("pay of the later hours", "h * d", "q"),
            ("whole pay", "p + q", "r"),
        ),
    ),
    Form(
        "tickets-family",
        (
            "A ticket costs {a} dollars for a grown-up and {b} dollars for a child. {name} buys "
            "{c} tickets for grown-ups and {d} for children. How much is that?",
            "Children pay {b} dollars and grown-ups pay {a} dollars. How much do {c} grown-ups and "
            "{d} children pay together?",
        ),
        {"a": (6, 25, 1), "b": (2, 9, 1), "c": (2, 9, 1), "d": (2, 12, 1)},
        (
            ("cost of the grown-ups", "a * c", "p"),
            ("cost of the children", "b * d", "q"),
            ("whole cost", "p + q", "r"),
        ),
    ),
    Form(
        "savings-goal",
        (
            "{name} wants a bike for {a} dollars and has {b} dollars. {S} saves {c} dollars a "
            "week. How many weeks does it take?",
            "A phone costs {a} dollars. {name} has {b} dollars and puts away {c} dollars each "
            "week. After how many weeks can {s} buy it?",
        ),
        {"a": (80, 600, 10), "b": (10, 200, 5), "c": (5, 40, 5)},
        (("dollars missing", "a - b", "p"), ("number of weeks", "p / c", "r")),
    ),
    Form(
        "two-machines",
        (
            "One machine makes {a} toys an hour and another makes {b}. How many toys do both make "
            "in {c} hours?",
            "{name} packs {a} boxes an hour and {friend} packs {b}. How many boxes do they pack "
            "together in {c} hours?",
        ),
        {"a": (5, 60, 1), "b": (5, 60, 1), "c": (2, 9, 1)},
        (("number in an hour", "a + b", "p"), ("number in all", "p * c", "r")),
    ),
    Form(
        "age-then",
        (
            "{name} is {a} years old. In {b} years {friend} will be twice as old as {name} will be "
            "then. How old is {friend} now?",
        ),
        {"a": (4, 40, 1), "b": (2, 12, 1)},
        (
            ("age of {name} then", "a + b", "p"),
            ("age of {friend} then", "p * 2", "q"),
            ("age of {friend} now", "q - b", "r"),
        ),
    ),
    Form(
        "legs",
        (
            "On a farm there are {a} cows with four legs each and {b} birds with two legs each. "
            "How many legs does {name} count?",
            "{name} sees {a} dogs and {b} ducks. A dog has four legs and a duck has two. How many "
            "legs are there?",
        ),
        {"a": (3, 60, 1), "b": (3, 60, 1)},
        (
            ("legs of the first", "a * 4", "p"),
            ("legs of the second", "b * 2", "q"),
            ("legs in all", "p + q", "r"),
        ),
    ),
    Form(
        "loan",
        (
            "{name} owes {friend} {a} dollars and pays back {b} dollars a month. How much does "
            "{s} owe after {c} months?",
        ),
        {"a": (100, 900, 10), "b": (10, 60, 5), "c": (2, 12, 1)},
        (("money paid back", "b * c", "p"), ("money owed", "a - p", "r")),
    ),
    Form(
        "water",
        (
            "A garden needs {a} litres of water a day. {name} has {b} litres, and the rain brings "
            "{c} litres. For how many days is that enough?",
            "{b} litres are in a barrel, and {c} litres come in. {name} uses {a} litres a day. How "
            "many days does the water last?",
        ),
        {"a": (4, 30, 1), "b": (20, 300, 1), "c": (10, 120, 1)},
        (("litres in all", "b + c", "p"), ("number of days", "p / a", "r")),
    ),
    Form(
        "floors",
        (
            "A house has {a} floors with {b} rooms each, and each room has {c} windows. How many "
            "windows does {name} clean?",
        ),
        {"a": (2, 12, 1), "b": (3, 12, 1), "c": (2, 5, 1)},
        (("rooms in all", "a * b", "p"), ("windows in all", "p * c", "r")),
    ),
)
