"""The shop as its starter sees it: sockets first, so that every port is known before any process runs."""

from __future__ import annotations

import httpx

from app.demo.files import Ports
from app.demo.processes import Processes, bound_socket
from app.demo.shop.settings import ShopSettings
from app.errors import WatchhouseError

_CALLS = {"payments": None, "checkout": "payments", "frontend": "checkout"}


class Shop:
    """Three servers and their customers. `close` gives back what was not opened."""

    def __init__(self, requests_per_second: float = 30.0) -> None:
        self.requests_per_second = requests_per_second
        self._sockets = {name: bound_socket() for name in _CALLS}
        self.ports: dict[str, int] = {name: sock.getsockname()[1] for name, sock in self._sockets.items()}
        """The port of each server by name."""

    async def open(self, processes: Processes, ports: Ports) -> None:
        """Starts the servers, which send to the service at `ports`."""
        for name, following in _CALLS.items():
            fd = self._sockets[name].fileno()
            settings = ShopSettings(
                listen_fd=fd,
                next_url=self._url(following) if following else "",
                forward_port=ports.forward,
                otlp_grpc_port=ports.otlp_grpc,
                otlp_http_port=ports.otlp_http,
            )
            await processes.start(name, ("-m", "app.demo.shop", name, settings.to_json()), [fd])
        self.close()

    async def let_in(self, processes: Processes) -> None:
        """Starts the customers."""
        settings = ShopSettings(next_url=self._url("frontend"), requests_per_second=self.requests_per_second)
        await processes.start("load", ("-m", "app.demo.shop", "load", settings.to_json()))

    def close(self) -> None:
        """Gives back the sockets; processes that were started have their own."""
        while self._sockets:
            self._sockets.popitem()[1].close()

    async def fail(self, http: httpx.AsyncClient, share: float) -> None:
        """Makes payments answer 500 to a share of the charges. Raises WatchhouseError when it cannot be told."""
        try:
            (await http.put(f"{self._url('payments')}/fault", json={"failing": share})).raise_for_status()
        except httpx.HTTPError as error:
            raise WatchhouseError(f"payments cannot be reached: {error}") from None

    def _url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"
