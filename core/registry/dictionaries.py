"""Which dictionary the responses of a run are compressed with: an old one, a new one, or none.

What is stored is what is smallest for the responses at hand, counting a new dictionary's own room.
So a run begins with a dictionary of its first evaluation, goes on with it, and gets another one
when its responses have become others. The choice depends on what is written together: two
registries of the same texts may hold other bytes.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, select

from core.registry.codec import compress_text
from core.registry.schema import Run, TextDictionary, table
from core.registry.texts import LARGEST_DICTIONARY, Dictionary, TextWriter, pack_dictionary

_FEWEST_TEXTS = 16
_FEWEST_BYTES = 4096
_SAMPLES = 128
_CANDIDATES = 2
# with so little left by a known dictionary, a new one hardly pays: it would be larger than that
_GOOD_SHARE = 0.2
_KEPT = 4
_PER_THREAD = threading.local()

Compress = Callable[[str], bytes]


def choose_compression(connection: Connection, run: int, texts: Sequence[str]) -> Compress:
    """How to store the texts of some responses that are written together.

    Args:
        connection: An open write transaction; a new dictionary is stored in it.
        run: Key of their run.
        texts: The texts, or so many of them that they speak for the rest.
    """
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    if len(raw) < _FEWEST_TEXTS or sum(map(len, raw)) < _FEWEST_BYTES:
        return compress_text
    sample = raw[:: max(1, len(raw) // _SAMPLES)]
    share = len(raw) / len(sample)
    writer, cost = _best_known(connection, run, sample)
    alone = sum(len(compress_text(text.decode("utf-8", "surrogatepass"))) for text in sample)
    if writer is None or cost > _GOOD_SHARE * sum(map(len, sample)):
        new = _dictionary(connection, run, raw)
        fresh = TextWriter(new.id, new.content)
        with_new = _bytes(fresh, sample) + len(new.packed) / share
        if with_new < min(cost, alone):
            row = {"id": new.id, "run": run, "content": new.packed}
            connection.execute(table(TextDictionary).insert(), row)
            return fresh.compress_text
    return compress_text if writer is None or cost >= alone else writer.compress_text


def find_dictionary(connection: Connection, identity: int) -> Dictionary | None:
    """The dictionary of an id; None where there is none."""
    dictionaries = table(TextDictionary)
    query = select(dictionaries.c.content).where(dictionaries.c.id == identity)
    content = connection.execute(query).scalar()
    return None if content is None else Dictionary(identity, content)


def _best_known(
    connection: Connection, run: int, sample: Sequence[bytes]
) -> tuple[TextWriter | None, float]:
    """The best of the run's newest dictionaries, with what it makes of the sample."""
    dictionaries = table(TextDictionary)
    query = select(dictionaries.c.id).where(dictionaries.c.run == run)
    newest = query.order_by(dictionaries.c.key.desc()).limit(_CANDIDATES)
    best: tuple[TextWriter | None, float] = (None, float("inf"))
    for identity in connection.execute(newest).scalars().all():
        writer = _writer(connection, identity)
        cost = _bytes(writer, sample)
        if cost < best[1]:
            best = (writer, cost)
    return best


def _writer(connection: Connection, identity: int) -> TextWriter:
    """A writer with a stored dictionary; the last ones stay ready, as they take a while to make."""
    if not hasattr(_PER_THREAD, "writers"):
        _PER_THREAD.writers = OrderedDict()
    writers: OrderedDict[int, TextWriter] = _PER_THREAD.writers
    dictionary = None if identity in writers else find_dictionary(connection, identity)
    if dictionary is not None:
        writers[identity] = TextWriter(identity, dictionary.content)
    writers.move_to_end(identity)
    if len(writers) > _KEPT:
        writers.popitem(last=False)
    return writers[identity]


def _dictionary(connection: Connection, run: int, raw: Sequence[bytes]) -> Dictionary:
    """A dictionary of these texts, with an id that is free.

    Its run is part of the id, so that no two runs share one: it goes when its run goes.
    """
    content = b"".join(raw)[:LARGEST_DICTIONARY]
    runs = table(Run)
    uuid = connection.execute(select(runs.c.uuid).where(runs.c.key == run)).scalar_one()
    digest = hashlib.sha256(uuid.encode() + content).digest()
    identity = int.from_bytes(digest[:4], "little")
    while find_dictionary(connection, identity) is not None:
        identity = (identity + 1) % 2**32
    return Dictionary(identity, pack_dictionary(content))


def _bytes(writer: TextWriter, sample: Sequence[bytes]) -> float:
    return sum(len(writer.compress(text)) for text in sample)
