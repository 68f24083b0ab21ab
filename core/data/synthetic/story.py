"""The pieces a synthetic word problem is made of: arithmetic steps, people, and a draft to fill."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

MAX_VALUE = 2000


@dataclass(frozen=True, slots=True)
class Step:
    """One arithmetic step of a worked solution.

    Attributes:
        label: What the result is, to be read after 'the', for example `apples left`.
        expression: Left side, for example `24 - 7` or `240 * 25 / 100`.
        result: Its value.
    """

    label: str
    expression: str
    result: int


@dataclass(frozen=True, slots=True)
class Story:
    """A finished problem.

    Attributes:
        template: Its plot: a form's id, or scenario and events of a chain.
        question: Its text.
        steps: Its solution.
        irrelevant: Sentences whose number does not matter.
    """

    template: str
    question: str
    steps: tuple[Step, ...]
    irrelevant: int

    @property
    def difficulty(self) -> int:
        """Arithmetic steps to take plus numbers to ignore."""
        return len(self.steps) + self.irrelevant


@dataclass(frozen=True, slots=True)
class Person:
    """A name with its pronouns."""

    name: str
    subject: str
    object: str
    possessive: str


@dataclass(slots=True)
class Draft:
    """A problem under construction.

    Attributes:
        sentences: The story so far.
        steps: Its solution so far.
        kinds: Events and ending, in order; part of the template id.
        irrelevant: Sentences whose number does not matter.
    """

    rng: Random
    words: dict[str, str]
    sentences: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    irrelevant: int = 0

    def say(self, wordings: Sequence[str], **numbers: object) -> None:
        """Add one sentence, chosen from `wordings` and filled with the words of the story."""
        self.sentences.append(self.fill(self.rng.choice(wordings), **numbers))

    def fill(self, text: str, **numbers: object) -> str:
        """`text` with its fields replaced by the words of this story and by `numbers`."""
        return text.format(**self.words, **numbers)

    def story(self, template: str) -> Story:
        """The finished problem."""
        return Story(template, " ".join(self.sentences), tuple(self.steps), self.irrelevant)

    def step(self, label: str, expression: str, result: int, **numbers: object) -> int:
        """Add one step of the solution and hand back its result."""
        self.steps.append(Step(self.fill(label, **numbers), expression, result))
        return result


def people(girls: Sequence[str], boys: Sequence[str]) -> tuple[Person, ...]:
    """People from two lists of names."""
    return tuple(Person(name, "she", "her", "her") for name in girls) + tuple(
        Person(name, "he", "him", "his") for name in boys
    )


def cast_words(rng: Random, cast: Sequence[Person]) -> dict[str, str]:
    """Words for one main person and two others, all different."""
    hero, friend, other = rng.sample(cast, 3)
    return {
        "name": hero.name,
        "s": hero.subject,
        "S": hero.subject.capitalize(),
        "o": hero.object,
        "p": hero.possessive,
        "P": hero.possessive.capitalize(),
        "friend": friend.name,
        "other": other.name,
    }


def divisors(value: int, low: int, high: int) -> list[int]:
    """All k in [low, high] that divide `value` and leave more than one."""
    return [k for k in range(low, high + 1) if value % k == 0 and value > k]
