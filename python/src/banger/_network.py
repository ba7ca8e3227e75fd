"""The network of a guest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NetworkConfig:
    """What a guest is told of its network. Without addresses its interfaces are the image's.

    >>> import banger
    >>> banger.NetworkConfig(addresses=["10.0.0.2/24"], gateways=["10.0.0.1"], hostname="vm1").to_json()
    '{"addresses": ["10.0.0.2/24"], "gateways": ["10.0.0.1"], "hostname": "vm1"}'
    """

    interface: str | None = None
    """The interface; without it the first one."""
    addresses: Sequence[str] = ()
    """Addresses with the length of the prefix: "10.0.0.2/24"."""
    gateways: Sequence[str] = ()
    dns: Sequence[str] = ()
    hostname: str | None = None

    def to_json(self) -> str:
        """Returns the document that the library takes."""
        fields: dict[str, Any] = {
            "interface": self.interface,
            "addresses": list(self.addresses),
            "gateways": list(self.gateways),
            "dns": list(self.dns),
            "hostname": self.hostname,
        }
        return json.dumps({name: value for name, value in fields.items() if value})
