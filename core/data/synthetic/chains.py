"""Problems told as a chain: a number of things that grows, shrinks, is shared, and is asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from core.data.synthetic.story import MAX_VALUE, Draft, Story, cast_words, divisors
from core.data.synthetic.vocabulary import World

Wordings = Mapping[str, tuple[str, ...]]
"""Sentences by kind of event."""


@dataclass(frozen=True, slots=True)
class ChainGrammar:
    """What a chain may be made of.

    Attributes:
        world: Names and scenarios.
        wordings: Sentences by kind of event.
        step_weights: Weight of 1, 2, 3... steps.
        distractor_weights: Weight of 0, 1, 2... sentences with a number that does not matter.
    """

    world: World
    wordings: Wordings
    step_weights: tuple[float, ...]
    distractor_weights: tuple[float, ...]


_FRACTIONS = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth", 10: "a tenth"}
_PARTS = {(2, 3): "two thirds", (3, 4): "three quarters", (2, 5): "two fifths"}
_TIMES = {2: "twice", 3: "three times", 4: "four times", 5: "five times"}


def build_chain(rng: Random, grammar: ChainGrammar) -> Story:
    """One problem that is told as a chain of events."""
    scenario = rng.choice(grammar.world.scenarios)
    words = cast_words(rng, grammar.world.people)
    words["items"] = rng.choice(scenario.items)
    words["boxes"] = scenario.boxes
    draft = Draft(rng, words)
    wanted = 1 + _pick(rng, grammar.step_weights)
    # 'together' needs two steps of the solution, every other ending one.
    ending = 2 if wanted > 1 and rng.random() < 0.2 else 1
    value = _opening_value(rng)
    draft.say(scenario.opening, n=value)
    words["gain"], words["lose"] = rng.choice(scenario.gain), rng.choice(scenario.lose)
    while len(draft.steps) < wanted - ending:
        value = _event(draft, grammar.wordings, value, wanted - ending - len(draft.steps))
    for _ in range(_pick(rng, grammar.distractor_weights)):
        _distract(draft, grammar.wordings)
    _ending(draft, grammar.wordings, value, wanted - len(draft.steps))
    return draft.story(f"{scenario.id}:{'-'.join(draft.kinds)}")


def _pick(rng: Random, weights: tuple[float, ...]) -> int:
    return rng.choices(range(len(weights)), weights)[0]


def _opening_value(rng: Random) -> int:
    if rng.random() < 0.5:
        return rng.choice((12, 20, 24, 30)) * rng.randint(1, 9)
    return rng.randint(12, 240)


def _event(draft: Draft, wordings: Wordings, value: int, room: int) -> int:
    names = [name for name, cost in _EVENT_COSTS if cost <= room]
    while True:
        name = draft.rng.choice(names)
        after = _EVENTS[name](draft, wordings[name], value)
        if after is not None:
            draft.kinds.append(name)
            return after


def _gain(draft: Draft, wordings: tuple[str, ...], value: int) -> int | None:
    n = draft.rng.randint(3, 120)
    draft.say(wordings, n=n)
    return draft.step("{items} now", f"{value} + {n}", value + n)


def _lose(draft: Draft, wordings: tuple[str, ...], value: int) -> int | None:
    if value < 12:
        return None
    n = draft.rng.randint(2, value - 4)
    draft.say(wordings, n=n)
    return draft.step("{items} left", f"{value} - {n}", value - n)


def _multiply(draft: Draft, wordings: tuple[str, ...], value: int) -> int | None:
    k = draft.rng.choice(tuple(_TIMES))
    if value * k > MAX_VALUE // 2:
        return None
    draft.say(wordings, times=_TIMES[k])
    return draft.step("{items} now", f"{value} * {k}", value * k)


def _batch(draft: Draft, wordings: tuple[str, ...], value: int) -> int | None:
    k, m = draft.rng.randint(2, 9), draft.rng.randint(3, 25)
    draft.say(wordings, k=k, m=m)
    more = draft.step("{items} in the {boxes}", f"{k} * {m}", k * m)
    return draft.step("{items} now", f"{value} + {more}", value + more)


def _dozen(draft: Draft, wordings: tuple[str, ...], value: int) -> int | None:
    k = draft.rng.randint(2, 9)
    draft.say(wordings, k=k)
    more = draft.step("{items} in {k} dozen", f"{k} * 12", k * 12, k=k)
    return draft.step("{items} now", f"{value} + {more}", value + more)


def _daily(draft: Draft, wordings: tuple[str, ...], value: int) -> int | None:
    k, m = draft.rng.randint(2, 7), draft.rng.randint(2, 20)
    if k * m > value - 4:
        return None
    draft.say(wordings, k=k, m=m)
    gone = draft.step("{items} gone", f"{k} * {m}", k * m)
    return draft.step("{items} left", f"{value} - {gone}", value - gone)


def _weekly(draft: Draft, wordings: tuple[str, ...], value: int) -> int | None:
    k, m = draft.rng.randint(2, 5), draft.rng.randint(2, 9)
    draft.say(wordings, k=k, m=m)
    days = draft.step("number of days", f"{k} * 7", k * 7)
    more = draft.step("{items} of these days", f"{days} * {m}", days * m)
    return draft.step("{items} now", f"{value} + {more}", value + more)


def _share(draft: Draft, wordings: tuple[str, ...], value: int) -> int | None:
    options = [k for k in _FRACTIONS if value % k == 0 and value > 3 * k]
    if not options:
        return None
    k = draft.rng.choice(options)
    draft.say(wordings, fraction=_FRACTIONS[k])
    gone = draft.step("{items} gone", f"{value} / {k}", value // k)
    return draft.step("{items} left", f"{value} - {gone}", value - gone)


def _part(draft: Draft, wordings: tuple[str, ...], value: int) -> int | None:
    options = [(a, b) for a, b in _PARTS if value % b == 0 and value > 3 * b]
    if not options:
        return None
    a, b = draft.rng.choice(options)
    draft.say(wordings, part=_PARTS[a, b])
    gone = draft.step("{items} gone", f"{value} * {a} / {b}", value * a // b)
    return draft.step("{items} left", f"{value} - {gone}", value - gone)


def _keep(draft: Draft, wordings: tuple[str, ...], value: int) -> int | None:
    options = [k for k in _FRACTIONS if value % k == 0 and value > 3 * k]
    if not options:
        return None
    k = draft.rng.choice(options)
    draft.say(wordings, fraction=_FRACTIONS[k])
    return draft.step("{items} kept", f"{value} / {k}", value // k)


def _percent(draft: Draft, wordings: tuple[str, ...], value: int) -> int | None:
    options = [p for p in (10, 20, 25, 30, 50, 75) if value * p % 100 == 0 and value > 8]
    if not options:
        return None
    p = draft.rng.choice(options)
    draft.say(wordings, percent=p)
    gone = draft.step("{items} gone", f"{value} * {p} / 100", value * p // 100)
    return draft.step("{items} left", f"{value} - {gone}", value - gone)


def _growth(draft: Draft, wordings: tuple[str, ...], value: int) -> int | None:
    options = [p for p in (10, 20, 25, 50) if value * p % 100 == 0]
    if not options:
        return None
    p = draft.rng.choice(options)
    draft.say(wordings, percent=p)
    more = draft.step("{items} more", f"{value} * {p} / 100", value * p // 100)
    return draft.step("{items} now", f"{value} + {more}", value + more)


def _ending(draft: Draft, wordings: Wordings, value: int, room: int) -> None:
    names = [name for name, cost in _ENDING_COSTS if cost == room]
    while True:
        name = draft.rng.choice(names)
        if _ENDINGS[name](draft, wordings[name], value):
            draft.kinds.append(name)
            return


def _price(draft: Draft, wordings: tuple[str, ...], value: int) -> bool:
    k = draft.rng.randint(2, 9)
    if value * k > MAX_VALUE:
        return False
    draft.say(wordings, k=k)
    draft.step("dollars in all", f"{value} * {k}", value * k)
    return True


def _pack(draft: Draft, wordings: tuple[str, ...], value: int) -> bool:
    options = divisors(value, 2, 12)
    if not options:
        return False
    k = draft.rng.choice(options)
    draft.say(wordings, k=k)
    draft.step("number of {boxes}", f"{value} / {k}", value // k)
    return True


def _divide(draft: Draft, wordings: tuple[str, ...], value: int) -> bool:
    options = divisors(value, 2, 9)
    if not options:
        return False
    k = draft.rng.choice(options)
    draft.say(wordings, k=k)
    draft.step("{items} of each", f"{value} / {k}", value // k)
    return True


def _target(draft: Draft, wordings: tuple[str, ...], value: int) -> bool:
    goal = value + draft.rng.randint(5, 150)
    draft.say(wordings, n=goal)
    draft.step("{items} missing", f"{goal} - {value}", goal - value)
    return True


def _last_gain(draft: Draft, wordings: tuple[str, ...], value: int) -> bool:
    n = draft.rng.randint(3, 120)
    draft.say(wordings, n=n)
    draft.step("{items} in all", f"{value} + {n}", value + n)
    return True


def _last_loss(draft: Draft, wordings: tuple[str, ...], value: int) -> bool:
    if value < 8:
        return False
    n = draft.rng.randint(2, value - 3)
    draft.say(wordings, n=n)
    draft.step("{items} left", f"{value} - {n}", value - n)
    return True


def _other(draft: Draft, value: int) -> tuple[str, int]:
    """How many the friend has: the comparison in words, and the number, added as a step."""
    if draft.rng.random() < 0.4 and value * 2 < MAX_VALUE // 2:
        k = draft.rng.choice((2, 3))
        text = f"{_TIMES[k]} as many {{items}} as"
        expression, other = f"{value} * {k}", value * k
    elif draft.rng.random() < 0.5 and value > 10:
        n = draft.rng.randint(2, value - 3)
        text, expression, other = f"{n} fewer {{items}} than", f"{value} - {n}", value - n
    else:
        n = draft.rng.randint(2, 120)
        text, expression, other = f"{n} more {{items}} than", f"{value} + {n}", value + n
    return draft.fill(text), draft.step("{items} of {friend}", expression, other)


def _compare(draft: Draft, wordings: tuple[str, ...], value: int) -> bool:
    text, _ = _other(draft, value)
    draft.say(wordings, comparison=text)
    return True


def _together(draft: Draft, wordings: tuple[str, ...], value: int) -> bool:
    text, other = _other(draft, value)
    draft.say(wordings, comparison=text)
    draft.step("{items} together", f"{value} + {other}", value + other)
    return True


def _distract(draft: Draft, wordings: Wordings) -> None:
    draft.say(wordings["distractor"], n=draft.rng.randint(2, 90))
    draft.irrelevant += 1
    if draft.rng.random() < 0.5:
        at = draft.rng.randint(1, len(draft.sentences) - 1)
        draft.sentences.insert(at, draft.sentences.pop())


_Event = Callable[[Draft, tuple[str, ...], int], int | None]
_EVENTS: dict[str, _Event] = {
    "gain": _gain,
    "lose": _lose,
    "multiply": _multiply,
    "batch": _batch,
    "dozen": _dozen,
    "daily": _daily,
    "weekly": _weekly,
    "share": _share,
    "part": _part,
    "keep": _keep,
    "percent": _percent,
    "growth": _growth,
}
_EVENT_COSTS = (
    ("gain", 1),
    ("lose", 1),
    ("multiply", 1),
    ("keep", 1),
    ("batch", 2),
    ("dozen", 2),
    ("daily", 2),
    ("share", 2),
    ("part", 2),
    ("percent", 2),
    ("growth", 2),
    ("weekly", 3),
)
_Ending = Callable[[Draft, tuple[str, ...], int], bool]
_ENDINGS: dict[str, _Ending] = {
    "price": _price,
    "pack": _pack,
    "divide": _divide,
    "target": _target,
    "final": _last_gain,
    "remain": _last_loss,
    "compare": _compare,
    "together": _together,
}
_ENDING_COSTS = (
    ("price", 1),
    ("pack", 1),
    ("divide", 1),
    ("target", 1),
    ("final", 1),
    ("remain", 1),
    ("compare", 1),
    ("together", 2),
)
