"""Who may call a node, and from where."""

import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

from spectjax.node.log import tell
from spectjax.node.sections import Config


class Peers:
    """Those who are listed: senders, destinations, and the node itself.

    Destinations may report on Storage Commitment, and the node ask itself whether it
    answers; only senders may send.
    """

    def __init__(self, config: Config) -> None:
        """Looks up the addresses of hosts, as they are now."""
        self._networks: dict[str, list[Any]] = {}
        for sender in config.senders:
            self._add(sender.aet, map(ipaddress.ip_network, sender.addresses))
        for place in config.destinations:
            self._add(place.aet, _resolve(place.host))
        for host in ("localhost", config.node.host):
            self._add(config.node.aet, _resolve(host))
        self._senders = {
            sender.aet: [ipaddress.ip_network(text) for text in sender.addresses]
            for sender in config.senders
        }

    def _add(self, title: str, ranges: Any) -> None:
        self._networks.setdefault(title, []).extend(ranges)

    def allow(self, address: str) -> bool:
        """Tells whether anybody at an address may call."""
        return any(_is_in(address, ranges) for ranges in self._networks.values())

    def know(self, title: str, address: str) -> bool:
        """Tells whether an AE title at an address may call."""
        return _is_in(address, self._networks.get(title, ()))

    def may_send(self, title: str, address: str) -> bool:
        """Tells whether an AE title at an address may send studies."""
        return _is_in(address, self._senders.get(title, ()))


def _resolve(host: str) -> list[Any]:
    """Returns the addresses of a host; none if it has none now."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        tell("no address", host=host)
        return []
    return [ipaddress.ip_network(str(each[4][0]).partition("%")[0]) for each in found]


def _is_in(address: str, ranges: Sequence[Any]) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in each for each in ranges)
