"""Addresses as Go's net package takes them apart."""

from __future__ import annotations

from ipaddress import ip_address


def split_host_port(address: str) -> tuple[str, str] | None:
    """Host and port of `host:port` or `[host]:port`, None if it is neither: net.SplitHostPort."""
    colon = address.rfind(":")
    if colon < 0:
        return None
    if address[0] == "[":
        end = address.find("]")
        if end < 0 or end + 1 != colon:
            return None
        host, inner, rest = address[1:end], address[1:], address[end + 1 :]
    else:
        host, inner, rest = address[:colon], address, address
        if ":" in host:
            return None
    return None if "[" in inner or "]" in rest else (host, address[colon + 1 :])


def strip_port(address: str) -> str:
    """The host of an address; what has no port is kept."""
    split = split_host_port(address)
    return address if split is None else split[0]


def strip_domain(address: str) -> str:
    """The first name of a host, with the port if there is one; IP addresses are kept."""
    host, port = split_host_port(address) or (address, "")
    if _is_ip(host):
        return address
    host = host.split(".")[0]
    if not port:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host
