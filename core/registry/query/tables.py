"""The tables as far as filters look at them, without the weight of the full schema."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

_METADATA = MetaData()


def _columns(kind: type, names: str) -> list[Column]:
    return [Column(name, kind()) for name in names.split()]


RUN = Table(
    "run",
    _METADATA,
    *_columns(Integer, "key size"),
    *_columns(
        String,
        "uuid id kind name group status parent_uuid config_hash protocol_hash model model_hash "
        "data data_hash host",
    ),
    *_columns(BigInteger, "seed"),
    *_columns(Double, "created started ended heartbeat"),
    *_columns(Text, "exit_reason tags note config"),
    *_columns(Boolean, "archived"),
)
SEGMENT = Table("segment", _METADATA, *_columns(Integer, "run number start_step"))
METRIC_SUMMARY = Table(
    "metric_summary",
    _METADATA,
    *_columns(Integer, "run name last_step"),
    *_columns(Double, "last lowest highest"),
    *_columns(String, "last_nonfinite"),
)
EVALUATION = Table(
    "evaluation",
    _METADATA,
    *_columns(
        Integer,
        "key run segment step n type1 type2 type3 unclosed unparseable numeric truncated",
    ),
    *_columns(String, "split"),
    *_columns(Double, "time accuracy interval_low interval_high"),
    *_columns(Text, "accuracies lengths"),
)
