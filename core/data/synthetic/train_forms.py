"""Fixed plots of the train world."""

from core.data.synthetic.forms import Form

TRAIN_FORMS: tuple[Form, ...] = (
    Form(
        "shopping-change",
        (
            "{name} buys {a} pens for {b} dollars each and {c} books for {d} dollars each. "
            "{S} pays with {e} dollars. How much change does {s} get?",
            "A pen costs {b} dollars and a book costs {d} dollars. {name} takes {a} pens and {c} "
            "books and pays with {e} dollars. How many dollars come back?",
        ),
        {"a": (2, 12, 1), "b": (2, 9, 1), "c": (2, 9, 1), "d": (5, 25, 1), "e": (50, 400, 10)},
        (
            ("cost of the pens", "a * b", "p"),
            ("cost of the books", "c * d", "q"),
            ("whole cost", "p + q", "t"),
            ("change", "e - t", "r"),
        ),
    ),
    Form(
        "shopping-total",
        (
            "{name} buys {a} cakes for {b} dollars each and {c} drinks for {d} dollars each. "
            "How much does {s} pay in total?",
            "At the fair {a} cakes are sold for {b} dollars each and {c} drinks for {d} dollars "
            "each. How much money is that in all?",
        ),
        {"a": (2, 30, 1), "b": (2, 12, 1), "c": (2, 30, 1), "d": (2, 9, 1)},
        (
            ("cost of the cakes", "a * b", "p"),
            ("cost of the drinks", "c * d", "q"),
            ("whole cost", "p + q", "t"),
        ),
    ),
    Form(
        "discount",
        (
            "A coat costs {a} dollars. {name} gets {g}% off. How much does {s} pay?",
            "The price of a bike is {a} dollars, but today it is {g}% less. What is the new price?",
        ),
        {"a": (20, 900, 20), "g": (10, 50, 5)},
        (("money saved", "a * g / 100", "d"), ("new price", "a - d", "r")),
    ),
    Form(
        "trip-legs",
        (
            "{name} drives {a} hours at {b} miles per hour and then {c} hours at {d} miles per "
            "hour. How many miles does {s} drive?",
            "A bus goes {b} miles per hour for {a} hours, then {d} miles per hour for {c} hours. "
            "How far does it go?",
        ),
        {"a": (2, 9, 1), "b": (20, 80, 1), "c": (2, 9, 1), "d": (20, 80, 1)},
        (
            ("first part of the way", "a * b", "p"),
            ("second part of the way", "c * d", "q"),
            ("whole way", "p + q", "r"),
        ),
    ),
    Form(
        "trip-time",
        (
            "A town is {a} miles away. {name} drives {b} miles per hour. How many hours does the "
            "way there and back take?",
        ),
        {"a": (60, 480, 10), "b": (20, 80, 10)},
        (("hours for one way", "a / b", "h"), ("hours for both ways", "h * 2", "r")),
    ),
    Form(
        "reading",
        (
            "{name} reads a book of {a} pages. {S} reads {b} pages a day for {c} days. How many "
            "pages are left?",
            "A book has {a} pages. After {c} days with {b} pages each day, how many pages does "
            "{name} still have to read?",
        ),
        {"a": (120, 600, 1), "b": (5, 40, 1), "c": (2, 12, 1)},
        (("pages read", "b * c", "p"), ("pages left", "a - p", "r")),
    ),
    Form(
        "reading-days",
        (
            "{name} has read {b} of {a} pages. {S} reads {c} pages each day. How many days will "
            "the rest take?",
        ),
        {"a": (80, 500, 1), "b": (10, 200, 1), "c": (3, 20, 1)},
        (("pages left", "a - b", "p"), ("number of days", "p / c", "r")),
    ),
    Form(
        "class-groups",
        (
            "There are {a} girls and {b} boys in a school. They make groups of {c}. How many "
            "groups are there?",
            "{a} girls and {b} boys go on a trip, and each car takes {c} of them. How many cars "
            "are needed?",
        ),
        {"a": (8, 160, 1), "b": (8, 160, 1), "c": (3, 9, 1)},
        (("children in all", "a + b", "p"), ("number of groups", "p / c", "r")),
    ),
    Form(
        "saving",
        (
            "{name} saves {a} dollars a week for {b} weeks and then spends {c} dollars. How much "
            "money is left?",
            "For {b} weeks {name} puts {a} dollars into a box each week. Then {s} takes out {c} "
            "dollars. How many dollars are in the box?",
        ),
        {"a": (5, 60, 1), "b": (3, 20, 1), "c": (10, 300, 1)},
        (("money saved", "a * b", "p"), ("money left", "p - c", "r")),
    ),
    Form(
        "wage-weeks",
        (
            "{name} earns {a} dollars an hour and works {b} hours a day. How much does {s} earn "
            "in {c} days?",
            "{name} works {b} hours each day for {c} days and gets {a} dollars per hour. What is "
            "{p} pay?",
        ),
        {"a": (8, 30, 1), "b": (3, 9, 1), "c": (2, 9, 1)},
        (("pay for a day", "a * b", "p"), ("whole pay", "p * c", "r")),
    ),
    Form(
        "ages",
        (
            "{name} is {a} years old. {friend} is {b} years older, and {other} is twice as old as "
            "{friend}. How old is {other}?",
            "{friend} is {b} years older than {name}, who is {a}. {other} is twice as old as "
            "{friend}. What is the age of {other}?",
        ),
        {"a": (4, 30, 1), "b": (2, 15, 1)},
        (("age of {friend}", "a + b", "p"), ("age of {other}", "p * 2", "r")),
    ),
    Form(
        "three-people",
        (
            "{name} has {a} points. {friend} has {k} times as many, and {other} has {b} fewer than "
            "{friend}. How many points do the three have together?",
        ),
        {"a": (10, 120, 1), "k": (2, 4, 1), "b": (5, 60, 1)},
        (
            ("points of {friend}", "a * k", "p"),
            ("points of {other}", "p - b", "q"),
            ("points of {name} and {friend}", "a + p", "t"),
            ("points in all", "t + q", "r"),
        ),
    ),
    Form(
        "rows",
        (
            "A hall has {a} rows of {b} seats. {c} seats are taken. How many seats are free?",
            "{name} puts {b} seats into each of {a} rows. Then people sit on {c} of them. How many "
            "are empty?",
        ),
        {"a": (5, 30, 1), "b": (6, 24, 1), "c": (10, 300, 1)},
        (("seats in all", "a * b", "p"), ("free seats", "p - c", "r")),
    ),
    Form(
        "average",
        (
            "{name} runs {a} miles on Monday, {b} miles on Tuesday and {c} miles on Sunday. How "
            "many miles is that per day on average?",
        ),
        {"a": (3, 60, 1), "b": (3, 60, 1), "c": (3, 60, 1)},
        (
            ("miles on two days", "a + b", "p"),
            ("miles on three days", "p + c", "q"),
            ("miles per day", "q / 3", "r"),
        ),
    ),
    Form(
        "share-cost",
        (
            "A dinner costs {a} dollars and the drinks cost {b} dollars. {c} friends share the "
            "cost evenly. How much does each pay?",
            "{c} friends pay together for a dinner of {a} dollars and drinks for {b} dollars. What "
            "is the share of each?",
        ),
        {"a": (20, 400, 1), "b": (10, 100, 1), "c": (2, 8, 1)},
        (("whole cost", "a + b", "p"), ("share of each", "p / c", "r")),
    ),
    Form(
        "profit",
        (
            "{name} buys {a} toys for {b} dollars each and sells them for {c} dollars each. How "
            "much does {s} gain?",
        ),
        {"a": (5, 60, 1), "b": (2, 10, 1), "c": (11, 25, 1)},
        (
            ("money paid", "a * b", "p"),
            ("money earned", "a * c", "q"),
            ("gain", "q - p", "r"),
        ),
    ),
    Form(
        "percent-of-class",
        (
            "In a school of {a} children {g}% walk and the others take the bus. {b} of those on "
            "the bus are girls. How many boys take the bus?",
        ),
        {"a": (40, 900, 20), "g": (10, 80, 5), "b": (5, 200, 1)},
        (
            ("children who walk", "a * g / 100", "w"),
            ("children on the bus", "a - w", "q"),
            ("boys on the bus", "q - b", "r"),
        ),
    ),
    Form(
        "boxes-broken",
        (
            "{a} boxes hold {b} glasses each. {c} glasses break, and the rest are sold for {d} "
            "dollars each. How many dollars come in?",
        ),
        {"a": (2, 15, 1), "b": (6, 24, 1), "c": (3, 40, 1), "d": (2, 9, 1)},
        (
            ("glasses in all", "a * b", "p"),
            ("glasses left", "p - c", "q"),
            ("dollars in all", "q * d", "r"),
        ),
    ),
)
