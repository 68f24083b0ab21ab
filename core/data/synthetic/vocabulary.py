"""Words of the synthetic world, in two worlds that share no name and no scenario.

The train world feeds train, dev and pretraining; the test world feeds the test split alone.
"""

from dataclasses import dataclass

from core.data.synthetic.story import Person, people


@dataclass(frozen=True, slots=True)
class Scenario:
    """A place with its things and verbs.

    Attributes:
        id: Part of the template id.
        items: What is counted, plural.
        gain: Verbs (third person) by which the number grows.
        lose: Verbs by which it shrinks.
        boxes: What the items are packed into, plural.
        opening: First sentences; `{n}` is the number to start with.
    """

    id: str
    items: tuple[str, ...]
    gain: tuple[str, ...]
    lose: tuple[str, ...]
    boxes: str
    opening: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class World:
    """Everything a split may draw words from."""

    people: tuple[Person, ...]
    scenarios: tuple[Scenario, ...]


def _scenario(line: str, *opening: str) -> Scenario:
    name, items, gain, lose, boxes = (part.strip() for part in line.split("|"))
    return Scenario(
        name, _list(items), _list(gain), _list(lose), boxes, opening or _COMMON_OPENINGS
    )


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


_COMMON_OPENINGS = (
    "{name} has {n} {items}.",
    "{name} starts with {n} {items}.",
    "At first {name} has {n} {items}.",
)

_TRAIN_PEOPLE = people(
    _list(
        "Anna, Maria, Lucy, Emma, Sara, Nina, Julia, Rosa, Kate, Helen, Amy, Clara, Diana, Eva, "
        "Fiona, Grace, Hannah, Irene, Jane, Laura, Mia, Nora, Olga, Paula, Rita, Sofia, Tina, "
        "Vera, Alice, Bella, Carmen, Doris, Elsa, Flora, Gina, Heidi, Ida, Judith, Karla, Linda, "
        "Monica, Nelly, Petra, Ruth, Stella, Teresa, Ursula, Wendy, Yvonne, Zoe, Aisha, "
        "Mei, Salma, Lupe"
    ),
    _list(
        "Tom, Peter, John, David, Mark, Paul, Adam, Ben, Carl, Daniel, Eric, Frank, George, Henry, "
        "Ivan, Jack, Kevin, Leo, Martin, Nick, Oscar, Robert, Sam, Tim, Victor, Walter, Alan, "
        "Brian, Albert, Boris, Chris, Dennis, Edgar, Felix, Gordon, Hugo, Isaac, Jonas, Kurt, "
        "Lukas, Max, Noah, Otto, Philip, Ralf, Simon, Theo, Ulrich, Vincent, Wade, Xavier, "
        "Omar, Ravi, Jin"
    ),
)

_TEST_PEOPLE = people(
    _list("Amara, Beatrix, Camille, Dunya, Esme, Freya, Ingrid, Leila, Noor, Priya, Saskia, Yuki"),
    _list("Arjun, Bastian, Caleb, Dmitri, Emre, Farid, Gustav, Hiro, Kofi, Mateo, Rashid, Tobias"),
)

_TRAIN_SCENARIOS = (
    _scenario(
        "bakery | muffins, rolls, cookies, pies | bakes | sells, gives away | trays",
        "{name} bakes {n} {items} in the morning.",
        "A bakery has {n} {items}, and {name} works there.",
    ),
    _scenario(
        "farm | eggs, melons, pumpkins, pears | picks, collects | sells, eats | baskets",
        "{name} collects {n} {items} on the farm.",
        "There are {n} {items} on the farm of {name}.",
    ),
    _scenario(
        "library | books, comics, maps | buys, gets | lends, returns | shelves",
        "The library of {name} holds {n} {items}.",
        "{name} counts {n} {items} in the library.",
    ),
    _scenario("school | pencils, pens, notebooks, rulers | buys, finds | loses, uses | packs"),
    _scenario(
        "toys | marbles, toy cars, dolls, blocks | wins, finds | loses, gives away | bags",
        "{name} keeps {n} {items} in a drawer.",
        "{name} owns {n} {items}.",
    ),
    _scenario(
        "garden | roses, tulips, seeds, plants | plants, buys | cuts, sells | pots",
        "{name} has {n} {items} in {p} garden.",
        "In spring {name} counts {n} {items}.",
    ),
    _scenario(
        "market | apples, oranges, lemons, onions | buys, brings | sells, drops | crates",
        "{name} takes {n} {items} to the market.",
        "The stall of {name} opens with {n} {items}.",
    ),
    _scenario(
        "collection | stamps, coins, cards, stickers | buys, gets | trades, loses | albums",
        "{name} has {n} {items} in {p} collection.",
        "{name} has collected {n} {items}.",
    ),
    _scenario(
        "workshop | chairs, lamps, tables, boxes | builds, makes | sells, breaks | trucks",
        "The workshop of {name} holds {n} {items}.",
        "{name} makes {n} {items} in {p} workshop.",
    ),
    _scenario("kitchen | cups, plates, spoons, bowls | buys, washes | breaks, sells | cupboards"),
    _scenario(
        "shop | shirts, hats, socks, shoes | orders, gets | sells, returns | boxes",
        "A shop owned by {name} has {n} {items}.",
        "{name} orders {n} {items} for the shop.",
    ),
    _scenario(
        "beach | shells, stones, crabs | finds, collects | drops, gives away | buckets",
        "{name} finds {n} {items} on the beach.",
        "On the beach {name} collects {n} {items}.",
    ),
    _scenario(
        "party | balloons, candles, sweets | buys, brings | eats, loses | bags",
        "For the party {name} buys {n} {items}.",
        "{name} brings {n} {items} to a party.",
    ),
    _scenario("office | letters, files, papers | prints, gets | sends, throws away | folders"),
    _scenario(
        "pond | fish, ducks, frogs | catches, adds | sells, loses | tanks",
        "{name} counts {n} {items} in the pond.",
        "There are {n} {items} in the pond of {name}.",
    ),
    _scenario(
        "bus | passengers, tickets, seats, suitcases | gets, adds | loses, drops | rows",
        "The bus of {name} has {n} {items}.",
        "{name} counts {n} {items} on the bus.",
    ),
    _scenario(
        "zoo | birds, monkeys, snakes, goats | buys, gets | sells, lends | cages",
        "The zoo of {name} has {n} {items}.",
        "{name} feeds {n} {items} at the zoo.",
    ),
    _scenario(
        "cinema | tickets, posters, drinks, seats | prints, orders | sells, uses | rolls",
        "The cinema opens with {n} {items}, and {name} counts them.",
        "{name} has {n} {items} at the cinema.",
    ),
    _scenario(
        "hospital | beds, masks, gloves, blankets | orders, gets | uses, lends | boxes",
        "A hospital has {n} {items} when {name} begins to work.",
        "{name} puts {n} {items} into a room of the hospital.",
    ),
    _scenario(
        "bakers-stall | loaves, cakes, buns, waffles | bakes, makes | sells, drops | trays",
        "{name} makes {n} {items} before the stall opens.",
        "The stall of {name} has {n} {items}.",
    ),
    _scenario("sewing | buttons, ribbons, dresses, needles | sews, buys | uses, sells | bags"),
    _scenario(
        "forest | nuts, mushrooms, leaves, cones | finds, picks | drops, eats | sacks",
        "{name} picks {n} {items} in the forest.",
        "In the forest {name} finds {n} {items}.",
    ),
    _scenario(
        "tools | nails, screws, hammers, bolts | buys, orders | uses, lends | boxes",
        "There are {n} {items} in the garage of {name}.",
        "{name} owns {n} {items}.",
    ),
    _scenario(
        "game | points, tokens, jewels, keys | wins, earns | loses, spends | chests",
        "{name} begins the game with {n} {items}.",
        "In a game {name} has {n} {items}.",
    ),
    _scenario(
        "art | brushes, pictures, crayons, frames | paints, makes | sells, gives away | packs",
        "{name} has painted {n} {items}.",
        "{name} keeps {n} {items} in the studio.",
    ),
)

# New places with known things and verbs: a model this small cannot read words it never saw, and the
# test asks whether it can solve unseen stories about unknown people.
_TEST_SCENARIOS = (
    _scenario(
        "kiosk | cookies, sweets, cards | orders, gets | sells, gives away | boxes",
        *_COMMON_OPENINGS,
        "The kiosk of {name} opens with {n} {items}.",
    ),
    _scenario(
        "museum | coins, maps, stones, cups | buys, gets | sells, lends | shelves",
        *_COMMON_OPENINGS,
        "{name} counts {n} {items} in the museum.",
    ),
    _scenario(
        "harbour | fish, crabs, boxes, shells | catches, collects | sells, loses | crates",
        *_COMMON_OPENINGS,
        "{name} brings {n} {items} to the harbour.",
    ),
    _scenario(
        "orchard | apples, pears, lemons, oranges | picks, collects | sells, drops | baskets",
        *_COMMON_OPENINGS,
        "{name} picks {n} {items} in the orchard.",
    ),
    _scenario(
        "pottery | cups, bowls, plates, lamps | makes, buys | breaks, sells | cupboards",
        *_COMMON_OPENINGS,
        "{name} makes {n} {items} from clay.",
    ),
    _scenario(
        "theatre | chairs, lamps, dolls, hats | builds, finds | breaks, gives away | trucks",
        *_COMMON_OPENINGS,
        "Before the play {name} has {n} {items}.",
    ),
    _scenario(
        "camp | blocks, shoes, candles, socks | brings, buys | uses, loses | bags",
        *_COMMON_OPENINGS,
        "{name} takes {n} {items} to the camp.",
    ),
    _scenario(
        "circus | tickets, birds, balloons, masks | gets, buys | loses, lends | boxes",
        *_COMMON_OPENINGS,
        "{name} brings {n} {items} to the circus.",
    ),
    _scenario(
        "mill | sacks, nails, loaves, bolts | orders, makes | uses, sells | crates",
        *_COMMON_OPENINGS,
        "There are {n} {items} at the mill when {name} comes.",
    ),
    _scenario(
        "post | letters, stamps, papers, stickers | gets, prints | sends, returns | packs",
        *_COMMON_OPENINGS,
        "On Monday {name} has {n} {items} at the post.",
    ),
)

TRAIN_WORLD = World(_TRAIN_PEOPLE, _TRAIN_SCENARIOS)
TEST_WORLD = World(_TEST_PEOPLE, _TEST_SCENARIOS)
