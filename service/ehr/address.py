"""Which FHIR servers may be called: those on the allow-list, over https, at addresses outside our own network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

import httpx

# No user name, query, fragment, escape or space: what is left has one reading.
_BASE: Final = re.compile(r"(https?)://([A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?((?:/[A-Za-z0-9._~\-]+)*)/?")
_PORTS: Final = {"https": 443, "http": 80}
_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# RFC 1918 and RFC 4193, where a hospital's servers may be.
_PRIVATE: Final = tuple(ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
# AWS's instance metadata over IPv6 is in fc00::/7, and no FHIR server.
_METADATA: Final = ip_network("fd00:ec2::/32")
# RFC 6052: IPv4 behind a translator.
_NAT64: Final = ip_network("64:ff9b::/96")

_Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Reach:
    """How far we may reach: `hosts` as "name" (port 443) or "name:port".

    `private` lets those hosts have addresses of a private network. `loopback` is for development: this machine's
    own servers, over http too.
    """

    hosts: frozenset[str]
    private: bool = False
    loopback: bool = False


@dataclass(frozen=True, slots=True)
class Server:
    """A FHIR server that may be called: its base without a slash at the end, scheme and host in lower case."""

    base: str
    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port


def parse_server(address: str) -> Server | None:
    """A FHIR base address in its one form, without a default port; None for what is no such address."""
    found = _BASE.fullmatch(address)
    if found is None or any(step in {".", ".."} for step in found[4].split("/")):
        return None
    scheme = found[1]
    port = int(found[3][1:]) if found[3] else _PORTS[scheme]
    shown = "" if port == _PORTS[scheme] else f":{port}"
    return Server(f"{scheme}://{found[2].lower()}{shown}{found[4]}", scheme, found[2].lower().strip("[]"), port)


def server_within(address: str, reach: Reach, registered: frozenset[str] = frozenset()) -> Server | None:
    """The server at a FHIR base address, when it is one that we may call by its name.

    A caller with `registered` bases may name those and no other, whoever else's the list allows.
    """
    server = parse_server(address)
    if server is None:
        return None
    if registered:
        own = {found.base for base in registered if (found := parse_server(base))}
        return server if server.scheme == "https" and server.base in own else None
    if reach.loopback and server.host in _LOOPBACK_HOSTS:
        return server
    allowed = {host.lower() if _has_port(host) else f"{host.lower()}:443" for host in reach.hosts}
    host = f"[{server.host}]" if ":" in server.host else server.host
    return server if server.scheme == "https" and f"{host}:{server.port}" in allowed else None


def next_page(server: Server, url: str, link: str) -> str | None:
    """Where a link on a page leads; None when that is not on the server's own scheme, host and port.

    Read with the parser that makes the request: two parsers may see two hosts in one text.
    """
    try:
        joined = httpx.URL(url).join(link)
        port = joined.port or _PORTS.get(joined.scheme, 0)
    except (httpx.InvalidURL, ValueError):
        return None
    own = not joined.userinfo and (joined.scheme, joined.host, port) == server.origin
    return str(joined) if own else None


def address_within(address: str, reach: Reach) -> bool:
    """Whether a connection may be made to that IP address, however it is written."""
    try:
        found = _unwrapped(ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    if found.is_loopback:
        return reach.loopback
    if found.is_link_local or found.is_multicast or found.is_unspecified or found in _METADATA:
        return False
    if any(found in network for network in _PRIVATE):
        return reach.private
    return found.is_global and not found.is_reserved


def _unwrapped(address: _Address) -> _Address:
    """The IPv4 address inside an IPv6 one; ValueError for tunnels, which could lead anywhere."""
    if isinstance(address, IPv4Address):
        return address
    if address.sixtofour is not None or address.teredo is not None:
        raise ValueError("a tunnel")
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def _has_port(host: str) -> bool:
    return re.search(r":[0-9]+$", host) is not None and (not host.startswith("[") or "]:" in host)
