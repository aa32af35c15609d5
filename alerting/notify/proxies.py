"""Which proxy a request goes through, as `http_config` says it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import httpx

from alerting.httpconfig import ProxyConfig


def proxy_of(config: ProxyConfig, url: str) -> httpx.Proxy | None:
    """The configured proxy for a URL, None when it is reached directly. Raises ValueError when the URL is none."""
    if config.proxy_url is None or bypassed(config.no_proxy, url):
        return None
    headers = [(name, v.get_secret_value()) for name, many in config.proxy_connect_header.items() for v in many if v]
    return httpx.Proxy(config.proxy_url.get_secret_value(), headers=headers)


def bypassed(no_proxy: str, url: str) -> bool:
    """Whether a URL's host is among those of a `no_proxy` list: names with what is below them, addresses, networks.

    A leading dot leaves out the name itself, `*` is every host; an entry may have a port. The rules are those of Go's
    golang.org/x/net/http/httpproxy. Where there is a list, the machine itself (localhost, 127.0.0.1) is on it.
    """
    if not no_proxy:
        return False
    split = urlsplit(url)
    host = (split.hostname or "").rstrip(".").lower()
    port = split.port or (443 if split.scheme == "https" else 80)
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_matches(entry.strip().lower(), host, port, address) for entry in no_proxy.split(",") if entry.strip())


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _matches(entry: str, host: str, port: int, address: _Address | None) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit() and (":" not in name or name.startswith("[")):
        if int(wanted) != port:
            return False
        entry = name.strip("[]")
    literal = _address(entry)
    if literal is not None or address is not None:
        return literal == address
    entry = entry.removeprefix("*")
    return host.endswith(entry) if entry.startswith(".") else host == entry or host.endswith(f".{entry}")
