"""Ray, started here or joined: who is in it, and what its nodes have."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a5ctl.cluster.needs import Needs
from core.errors import UserError
from core.registry.processes import host_name

_CPU, _GPU = "CPU", "GPU"
_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@dataclass(frozen=True, slots=True)
class RayCluster:
    """A connection to Ray.

    Attributes:
        ray: The package.
        started_here: It was started for this plan, and ends with it.
    """

    ray: Any
    started_here: bool

    @property
    def nodes(self) -> list[dict[str, Any]]:
        """Nodes that are alive."""
        return [node for node in self.ray.nodes() if node["Alive"]]

    @property
    def is_on_this_machine(self) -> bool:
        """Every node is."""
        return {node["NodeManagerHostname"] for node in self.nodes} <= {host_name()}

    def check_room(self, needs: Needs) -> str | None:
        """What to say where no node has what a cell needs; None where one has.

        Raises:
            UserError: there will never be such a node.
        """
        for node in self.nodes:
            has = node["Resources"]
            if has.get(_CPU, 0) >= needs.cpus and has.get(_GPU, 0) >= needs.gpus:
                return None
        wanted = f"{needs.gpus} GPUs and {needs.cpus} CPUs"
        if self.started_here:
            raise UserError(
                f"a cell asks for {wanted}, and this machine has fewer; see train.gpus, "
                "train.threads and model.device in the plan"
            )
        return f"no node of the cluster has {wanted} by now; such cells wait for one to join"

    def close(self) -> None:
        """Leave the cluster, and end it where it was started here."""
        self.ray.shutdown()


def connect(on: str) -> RayCluster:
    """Start Ray here (`ray`), or join one: `auto`, `HOST:PORT`, or `ray://HOST:PORT`.

    Raises:
        UserError: Ray is not installed, or there is none.
    """
    # it would tell its makers about each cluster, and say so on the terminal
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if on != "ray":
        os.environ |= joining_authentication(os.environ, Path.home())
    try:
        import ray
    except ImportError as error:
        raise UserError("--on ray needs Ray; install it with: pip install 'a5ctl[ray]'") from error
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if on == "ray":
        quiet["_system_config"] = {"worker_niceness": 0}  # as cells without Ray; 15 by itself
        ray.init(address="local", include_dashboard=False, **quiet)
        return RayCluster(ray, started_here=True)
    try:
        ray.init(address=on, **quiet)
    except (ConnectionError, ValueError, RuntimeError, AssertionError) as error:
        said = str(error).strip().splitlines()
        raise UserError(
            f"there is no Ray to join at {on}: {said[0] if said else type(error).__name__}; start "
            "one with ray start --head, or let this command start one with --on ray"
        ) from error
    return RayCluster(ray, started_here=False)


def joining_authentication(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """Variables with which Ray shows the token of this account, where there is one.

    Ray does so by itself where it starts a cluster; to one that is joined by its address it shows
    none unless it is told to, waits half a minute, and says that nobody is there.

    Args:
        environment: The variables as they are.
        home: Home folder of the account, where Ray keeps a token.
    """
    has_token = any(environment.get(name) for name in _TOKENS)
    if "RAY_AUTH_MODE" in environment or not (has_token or (home / ".ray" / "auth_token").exists()):
        return {}
    return {"RAY_AUTH_MODE": "token"}
