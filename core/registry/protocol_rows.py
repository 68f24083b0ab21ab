"""Protocols are stored once, however many evaluations were made under them."""

import hashlib
import json

from sqlalchemy import Connection, select

from core.registry.entries import ProtocolRow
from core.registry.schema import StoredProtocol, table
from core.registry.upsert import insert_new


def protocol_key(connection: Connection, protocol: ProtocolRow) -> int:
    """Key of the stored protocol with these fields; it is stored when it is new."""
    protocols = table(StoredProtocol)
    fields = json.dumps(protocol.fields, sort_keys=True)
    digest = hashlib.sha256(fields.encode()).hexdigest()
    row = {
        "hash": digest,
        "generation": protocol.generation,
        "grading": protocol.grading,
        "fields": fields,
    }
    insert_new(connection, protocols, [row], ("hash",))
    query = select(protocols.c.key).where(protocols.c.hash == digest)
    return int(connection.execute(query).scalar_one())
