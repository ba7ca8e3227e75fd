"""The network of a guest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NetworkConfig:
    """What a guest is told of its network. Without addresses its interfaces are the image's.

    >>> import banger
    >>> network = banger.NetworkConfig(["10.0.0.2/24"], gateways=["10.0.0.1"], hostname="vm1")
    >>> network.addresses
    ['10.0.0.2/24']
    """

    addresses: Sequence[str] = ()
    """Addresses with the length of the prefix: "10.0.0.2/24"."""
    gateways: Sequence[str] = ()
    """Default routes, at most one for IPv4 and one for IPv6."""
    dns: Sequence[str] = ()
    """Name servers."""
    hostname: str | None = None
    """Name of the machine."""
    interface: str | None = None
    """Interface of the guest. Default: its only one."""

    def _options(self) -> dict[str, Any]:
        for name in ("addresses", "gateways", "dns"):
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{name} is a list of texts, not a text")
        return {
            "network_address": list(self.addresses),
            "network_gateway": list(self.gateways),
            "network_dns": list(self.dns),
            "network_interface": self.interface,
            "hostname": self.hostname,
        }
