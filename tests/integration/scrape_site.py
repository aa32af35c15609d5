"""A scrape target under a test's control, and what scrape tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from app.yamlfile import read_documents
from ingest.scrape.config import ScrapeSet, scrape_set_from_inline

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """A target under the test's control: `page` is what it says, `status` how."""

    def __init__(self) -> None:
        self.page = "a 1\n"
        self.status = 200
        self.content_type = "text/plain"
        self.answer: Answer | None = None
        self.requests: list[web.Request] = []
        self.address = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers one scrape."""
        self.requests.append(request)
        if self.answer is not None:
            return await self.answer(request)
        return web.Response(text=self.page, status=self.status, content_type=self.content_type)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A running target."""
    site = Site()
    app = web.Application()
    app.router.add_get("/{path:.*}", site.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    site.address = f"127.0.0.1:{runner.addresses[0][1]}"
    yield site
    await runner.cleanup()


def jobs(*texts: str) -> ScrapeSet:
    """A scrape set of jobs written as in the file."""
    document = read_documents("f", f"scrape: {{scrape_configs: [{', '.join(texts)}]}}")[0]
    return scrape_set_from_inline(document.data["scrape"]["scrape_configs"], document)
