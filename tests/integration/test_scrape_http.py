"""The two HTTP clients of scraping, over real sockets."""

from __future__ import annotations

import gzip
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from ingest.scrape.fetch import PlainClient, SessionClient, client_for
from ingest.scrape.headers import FetchError
from tests.integration.scrape_site import Site, jobs, site
from tests.ports import free_port

__all__ = ["site"]


@pytest.fixture(params=[PlainClient, SessionClient], ids=["plain", "session"])
async def client(request: pytest.FixtureRequest, site: Site) -> AsyncIterator[PlainClient | SessionClient]:
    """Each client, asking the site."""
    job = jobs("{job_name: j, body_size_limit: 100KB, bearer_token: abc, params: {q: [x y]}}").jobs[0]
    async with aiohttp.ClientSession() as session:
        client = request.param(job, f"http://{site.address}/m?q=x+y", 10_000, session)
        yield client
        await client.close()


async def test_client_says_who_it_is(client: PlainClient | SessionClient, site: Site) -> None:
    """The request has the headers Prometheus sends, the path and the query."""
    await client.fetch()
    await client.fetch()
    request = site.requests[1]
    assert request.path_qs == "/m?q=x+y"
    assert request.headers["Host"] == site.address
    assert request.headers["User-Agent"].startswith("Watchhouse/")
    assert request.headers["X-Prometheus-Scrape-Timeout-Seconds"] == "10"
    assert request.headers["Accept"].startswith("application/openmetrics-text;version=1.0.0")
    assert request.headers["Authorization"] == "Bearer abc"


async def test_client_takes_gzip_chunks_and_large_pages(client: PlainClient | SessionClient, site: Site) -> None:
    """Compressed and chunked pages come whole; one that is too large, also once inflated, is refused by name."""

    async def chunked(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Encoding": "gzip", "Content-Type": "text/plain"})
        await response.prepare(request)
        packed = gzip.compress(site.page.encode())
        for i in range(0, len(packed), 500):
            await response.write(packed[i : i + 500])
        return response

    site.page = "".join(f"m{i} {i}\n" for i in range(5000))
    assert (await client.fetch()).body == site.page.encode()
    site.answer = chunked
    assert (await client.fetch()).body == site.page.encode()
    site.page = "# " + "x" * 200_000 + "\n"
    with pytest.raises(FetchError, match="body_size_limit"):
        await client.fetch()
    site.answer = None
    with pytest.raises(FetchError, match="body_size_limit"):
        await client.fetch()
    site.page = "a 1\n"
    assert (await client.fetch()).body == b"a 1\n"


async def test_client_follows_redirects(client: PlainClient | SessionClient, site: Site) -> None:
    """A redirect is followed."""

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        if request.path == "/m":
            raise web.HTTPFound("/other")
        return web.Response(text="b 1\n")

    site.answer = elsewhere
    assert (await client.fetch()).body == b"b 1\n"
    assert (await client.fetch()).body == b"b 1\n"


async def test_client_outlives_a_connection_that_ends(client: PlainClient | SessionClient, site: Site) -> None:
    """A target that closes each connection, without a length even, is asked again on a new one."""

    async def closing(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.force_close()
        await response.prepare(request)
        await response.write(b"a 1\n")
        return response

    site.answer = closing
    for _ in range(3):
        assert (await client.fetch()).body == b"a 1\n"


async def test_nobody_there() -> None:
    """A port nobody listens on is told with its address."""
    job = jobs("{job_name: j}").jobs[0]
    async with aiohttp.ClientSession() as session:
        with pytest.raises(FetchError, match=r"cannot connect to 127\.0\.0\.1:"):
            await PlainClient(job, f"http://127.0.0.1:{free_port()}/metrics", 1000, session).fetch()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost with its key, made by openssl."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    path = tmp_path / "tls.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(path), "-out", str(tmp_path / "cert.pem")]
    command = [program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "cert.pem").read_text())
    return path


async def test_tls(certificate: Path) -> None:
    """A certificate is checked against tls_config, by name too, unless it says not to."""
    site, context = Site(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    app = web.Application()
    app.router.add_get("/metrics", site.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}/metrics"
    expected = {
        "{}": "certificate",
        f"{{ca_file: '{certificate}'}}": "certificate",
        f"{{ca_file: '{certificate}', server_name: localhost}}": "",
        "{insecure_skip_verify: true}": "",
        "{ca_file: nowhere.pem}": "tls_config cannot be used",
    }
    async with aiohttp.ClientSession() as session:
        for tls, error in expected.items():
            client = client_for(jobs(f"{{job_name: j, tls_config: {tls}}}").jobs[0], url, 5000, session)
            if error:
                with pytest.raises(FetchError, match=error):
                    await client.fetch()
            else:
                assert (await client.fetch()).body == b"a 1\n"
    await runner.cleanup()
