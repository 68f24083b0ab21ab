"""Journal lines about what was recorded earlier: other grades, probes, choices made meanwhile.

What can be large travels as compressed lines; `regrade_rows` and `probe_rows` read them.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _LaterEntry(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        ser_json_inf_nan="strings",
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )


class ConfigEntry(_LaterEntry):
    """The run's configuration from here on."""

    entry: Literal["config"] = "config"
    config: dict[str, Any]
    config_hash: str


class RegradeEntry(_LaterEntry):
    """Further grades of an evaluation's responses; its figures follow from them."""

    entry: Literal["regrade"] = "regrade"
    evaluation: str
    rows: bytes


class ProbeEntry(_LaterEntry):
    """One probe of an evaluation; takes the place of an earlier one of its kind and cap."""

    entry: Literal["probe"] = "probe"
    evaluation: str
    kind: str
    cap: int
    time: float
    eligible: int
    engine: str
    engine_version: str
    dtype: str
    seconds: float
    rows: bytes
