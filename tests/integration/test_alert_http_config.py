"""`http_config` over real sockets: certificates, proxies, tokens, headers; nothing of it is told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import trustme
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat

from alerting.httpconfig import JWT_BEARER, HttpConfig
from alerting.notify.base import NotifyError
from alerting.notify.http import HttpSender
from alerting.notify.proxies import bypassed
from tests.receiver_world import Request, Service

SECRET = "HUSH"


def sender(**config: Any) -> HttpSender:
    """A sender of an `http_config`."""
    return HttpSender(HttpConfig.model_validate(config), 3000)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs certificates."""
    return trustme.CA()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A plain one."""
    service = await Service().start()
    yield service
    await service.stop()


@pytest.fixture
async def secure(authority: trustme.CA) -> AsyncIterator[Service]:
    """One with a certificate for another name than the address it is at, which wants a certificate of its callers."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("hooks.example").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    service = await Service().start(context)
    yield service
    await service.stop()


def files(authority: trustme.CA, folder: Path) -> dict[str, Path]:
    """The authority's certificate, and a caller's with its key, as files."""
    cert = authority.issue_cert("watchhouse.example")
    found = {"ca": folder / "ca.pem", "cert": folder / "cert.pem", "key": folder / "key.pem"}
    authority.cert_pem.write_to_path(str(found["ca"]))
    cert.private_key_pem.write_to_path(str(found["key"]))
    for n, part in enumerate(cert.cert_chain_pems):
        part.write_to_path(str(found["cert"]), append=n > 0)
    return found


@pytest.mark.parametrize("inline", [True, False])
async def test_certificates(secure: Service, authority: trustme.CA, tmp_path: Path, inline: bool) -> None:
    """In place or in files: whom to trust, what to show, which name to expect, and how new TLS must be."""
    found = files(authority, tmp_path)
    parts = {name: path.read_text() if inline else path for name, path in found.items()}
    tls = {name if inline else f"{name}_file": str(part) for name, part in parts.items()}
    good = sender(tls_config={**tls, "server_name": "hooks.example", "min_version": "TLS13"})
    await good.post_json(secure.url, b"{}")
    assert len(secure.requests) == 1
    await good.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ca_file": None}, "unreachable"),
        ({"server_name": "other.example"}, "unreachable"),
        ({"cert_file": None, "key_file": None}, "unreachable"),
        ({"max_version": "TLS11"}, "unreachable"),
        ({"ca_file": "nothing.pem"}, "misconfigured"),
        ({"key_file": "ca.pem"}, "misconfigured"),
        ({"ca_file": "key.pem"}, "misconfigured"),
    ],
)
async def test_certificates_that_do_not_do(
    secure: Service, authority: trustme.CA, tmp_path: Path, change: dict[str, str | None], reason: str
) -> None:
    """What is wrong with a connection may heal; what is wrong with a file is the user's to mend."""
    found = {f"{name}_file": str(path) for name, path in files(authority, tmp_path).items()}
    changed = {
        key: str(tmp_path / value) if value and key.endswith("_file") else value for key, value in change.items()
    }
    bad = sender(tls_config={**found, "server_name": "hooks.example", **changed})
    with pytest.raises(NotifyError) as caught:
        await bad.post_json(secure.url, b"{}")
    assert (caught.value.reason, caught.value.retry) == (reason, reason == "unreachable")
    assert secure.requests == []
    await bad.close()


async def test_the_machine_is_trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tls_config the machine's own authorities count, such as a company's."""
    authority.cert_pem.write_to_path(str(tmp_path / "company.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "company.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    service = await Service().start(context)
    trusting = sender()
    await trusting.post_json(service.url, b"{}")
    assert len(service.requests) == 1
    await trusting.close()
    await service.stop()


async def test_no_verification(authority: trustme.CA) -> None:
    """insecure_skip_verify takes any certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("x.example").configure_cert(context)
    service = await Service().start(context)
    careless = sender(tls_config={"insecure_skip_verify": True})
    await careless.post_json(service.url, b"{}")
    assert len(service.requests) == 1
    await careless.close()
    await service.stop()


async def test_headers(service: Service, tmp_path: Path) -> None:
    """Values, secrets and files; a file is read each time."""
    (tmp_path / "header").write_text("first\n")
    config = {
        "http_headers": {
            "X-One": {"values": ["a"]},
            "X-Two": {"secrets": [SECRET]},
            "X-Three": {"files": [str(tmp_path / "header")]},
        },
        "authorization": {"type": "Token", "credentials_file": str(tmp_path / "header")},
    }
    made = sender(**config)
    await made.post_json(service.url, b"{}", {"x-one": "mine"})
    (tmp_path / "header").write_text("second\n")
    await made.post_json(service.url, b"{}")
    first, second = (request.headers for request in service.requests)
    assert (first["X-One"], first["X-Two"], first["X-Three"]) == ("mine", SECRET, "first")
    assert (second["X-One"], second["X-Three"]) == ("a", "second")
    assert (first["Authorization"], second["Authorization"]) == ("Token first", "Token second")
    assert SECRET not in repr(HttpConfig.model_validate(config))
    await made.close()


async def test_basic_auth_from_files(service: Service, tmp_path: Path) -> None:
    """Both name and password may stand in files that change."""
    (tmp_path / "name").write_text("u")
    (tmp_path / "password").write_text("p\n")
    files = {"username_file": str(tmp_path / "name"), "password_file": str(tmp_path / "password")}
    made = sender(basic_auth=files)
    await made.post_json(service.url, b"{}")
    (tmp_path / "password").write_text("q")
    await made.post_json(service.url, b"{}")
    assert [r.headers["Authorization"] for r in service.requests] == ["Basic dTpw", "Basic dTpx"]
    await made.close()


class Tokens:
    """Answers for a token endpoint and for a service that wants its tokens."""

    def __init__(self, *, secret_in_body: bool = False, lasts_s: int = 3600) -> None:
        self.secret_in_body = secret_in_body
        self.lasts_s = lasts_s
        self.given = 0
        self.refused: set[str] = set()

    def __call__(self, request: Request) -> web.Response:
        if request.path != "/token":
            good = request.headers.get("Authorization", "") not in self.refused
            return web.Response(status=200 if good else 401)
        if self.secret_in_body and "client_secret" not in request.form:
            return web.json_response({"error": "invalid_client"}, status=401)
        self.given += 1
        answer = {"access_token": f"t{self.given}", "token_type": "bearer", "expires_in": self.lasts_s}
        return web.json_response(answer)


def oauth2(service: Service, **more: Any) -> dict[str, Any]:
    """A configuration that asks the service itself for tokens."""
    return {"client_id": "id", "client_secret": SECRET, "token_url": f"{service.url}/token", **more}


async def test_a_token_is_asked_for_once(service: Service) -> None:
    """A token is kept as long as it is good; scopes and parameters go with the question, the secret in its header."""
    service.answer = Tokens()
    made = sender(oauth2=oauth2(service, scopes=["a", "b"], endpoint_params={"audience": "x"}))
    for _ in range(3):
        await made.post_json(f"{service.url}/hook", b"{}")
    asked, *hooks = service.requests
    assert [request.headers["Authorization"] for request in hooks] == ["Bearer t1"] * 3
    assert asked.form == {"grant_type": "client_credentials", "scope": "a b", "audience": "x"}
    assert asked.headers["Authorization"].startswith("Basic ")
    await made.close()


async def test_a_token_ends(service: Service) -> None:
    """A token that is about to end, or was refused, is asked for again."""
    tokens = service.answer = Tokens(lasts_s=5)
    made = sender(oauth2=oauth2(service))
    await made.post_json(service.url, b"{}")
    await made.post_json(service.url, b"{}")
    assert tokens.given == 2
    tokens.lasts_s = 3600
    await made.post_json(service.url, b"{}")
    tokens.refused.add("Bearer t3")
    with pytest.raises(NotifyError):
        await made.post_json(service.url, b"{}")
    await made.post_json(service.url, b"{}")
    assert tokens.given == 4
    await made.close()


async def test_the_secret_in_the_form(service: Service) -> None:
    """A server that does not take the secret in the header gets it in the form, as others did in Go."""
    service.answer = Tokens(secret_in_body=True)
    made = sender(oauth2=oauth2(service))
    await made.post_json(service.url, b"{}")
    assert service.requests[1].form["client_secret"] == SECRET
    assert "Authorization" not in service.requests[1].headers
    await made.close()


async def test_a_signed_assertion(service: Service, tmp_path: Path) -> None:
    """jwt-bearer: the assertion says who asks for what and until when, signed with the client's key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    service.answer = Tokens()
    config = {
        "grant_type": JWT_BEARER,
        "client_certificate_key_file": str(tmp_path / "key.pem"),
        "client_certificate_key_id": "k1",
        "signature_algorithm": "RS384",
        "audience": "https://login.example",
        "claims": {"team": "shop"},
        "scopes": ["a", "b"],
        "endpoint_params": {"x": "y"},
    }
    made = sender(oauth2={**oauth2(service, **config), "client_secret": None})
    await made.post_json(f"{service.url}/hook", b"{}")
    asked, hook = service.requests
    assert (asked.form["grant_type"], asked.form["x"]) == (JWT_BEARER, "y")
    assert "Authorization" not in asked.headers
    assert jwt.get_unverified_header(asked.form["assertion"])["kid"] == "k1"
    told = jwt.decode(asked.form["assertion"], key.public_key(), ["RS384"], audience="https://login.example")
    assert (told["iss"], told["sub"], told["scope"], told["team"]) == ("id", "id", "a b", "shop")
    assert told["exp"] - told["iat"] == 600
    assert hook.headers["Authorization"] == "Bearer t1"
    await made.close()


async def test_a_key_that_signs_nothing(service: Service) -> None:
    """A key that is none is the user's to mend, and is not told."""
    made = sender(oauth2=oauth2(service, grant_type=JWT_BEARER, client_certificate_key=SECRET))
    with pytest.raises(NotifyError, match="cannot be signed") as caught:
        await made.post_json(service.url, b"{}")
    assert not caught.value.retry
    assert SECRET not in str(caught.value)
    assert service.requests == []


@pytest.mark.parametrize(
    ("answer", "reason", "retry"),
    [
        (web.Response(status=403, text=SECRET), "rejected", False),
        (web.Response(status=503), "server_error", True),
        (web.Response(text="no JSON"), "server_error", True),
        (web.json_response({"token": "x"}), "server_error", True),
    ],
    ids=["refused", "away", "no_json", "no_token"],
)
async def test_no_token(service: Service, answer: web.Response, reason: str, retry: bool) -> None:
    """Without a token nothing is sent; only what may heal is tried again."""
    service.answer = lambda _: answer
    made = sender(oauth2=oauth2(service))
    with pytest.raises(NotifyError) as caught:
        await made.post_json(f"{service.url}/hook", b"{}")
    assert (caught.value.reason, caught.value.retry) == (reason, retry)
    assert SECRET not in str(caught.value)
    assert {request.path for request in service.requests} == {"/token"}
    await made.close()


class Tunnel:
    """A proxy for CONNECT that keeps what it was asked."""

    def __init__(self, target: str) -> None:
        self.target = target.rpartition("/")[2]
        self.asked: list[str] = []
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> Tunnel:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://u:{SECRET}@127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        host, _, port = self.target.partition(":")
        behind = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for source, sink in ((reader, behind[1]), (behind[0], writer)):
            task = asyncio.create_task(_pipe(source, sink))
            self._tasks.add(task)


async def test_a_tunnel_with_headers(secure: Service, authority: trustme.CA, tmp_path: Path) -> None:
    """HTTPS goes through CONNECT, with the headers that the proxy is to get and the target is not."""
    tunnel = await Tunnel(secure.url).start()
    found = {f"{name}_file": str(path) for name, path in files(authority, tmp_path).items()}
    made = sender(tls_config=found, proxy_url=tunnel.url, proxy_connect_header={"X-Proxy": [SECRET]})
    await made.post_json("https://hooks.example/x", b"{}")
    assert tunnel.asked[0].startswith("CONNECT hooks.example:443 ")
    assert f"X-Proxy: {SECRET}" in tunnel.asked[0]
    assert "Proxy-Authorization: Basic " in tunnel.asked[0]
    assert "X-Proxy" not in secure.requests[0].headers
    await made.close()
    await tunnel.stop()


async def test_a_proxy_and_its_exceptions(service: Service) -> None:
    """Plain HTTP goes through the proxy but for what no_proxy names."""
    proxy = await Service().start()
    made = sender(proxy_url=proxy.url, no_proxy="127.0.0.0/8,other.example")
    await made.post_json("http://hooks.example/x", b"{}")
    await made.post_json(service.url, b"{}")
    assert [request.headers["Host"] for request in proxy.requests] == ["hooks.example"]
    assert len(service.requests) == 1
    await made.close()
    await proxy.stop()


async def test_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxy is used where the file says so, and nowhere else."""
    proxy = await Service().start()
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("http_proxy", proxy.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    made, other = sender(proxy_from_environment=True), sender()
    await made.post_json("http://hooks.invalid/x", b"{}")
    with pytest.raises(NotifyError):
        await other.post_json("http://hooks.invalid/x", b"{}")
    assert len(proxy.requests) == 1
    await made.close()
    await other.close()
    await proxy.stop()


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("", "http://localhost", False),
        ("x", "http://localhost", True),
        ("x", "http://127.0.0.1:80", True),
        ("example.org", "https://example.org", True),
        ("example.org", "https://a.example.org", True),
        ("example.org", "https://anexample.org", False),
        (".example.org", "https://example.org", False),
        (".example.org", "https://a.example.org", True),
        ("*.example.org", "https://a.example.org", True),
        ("example.org:443", "https://example.org", True),
        ("example.org:80", "https://example.org", False),
        ("*", "https://anything", True),
        ("10.0.0.0/8", "http://10.1.2.3:8080", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        ("10.1.2.3", "http://10.1.2.3", True),
        ("10.1.2.3:81", "http://10.1.2.3:80", False),
        ("::1/128, [2001:db8::1]:80", "http://[2001:db8::1]", True),
        (" a , b ", "http://b", True),
    ],
)
def test_no_proxy(no_proxy: str, host: str, direct: bool) -> None:
    """Names and what is below them, addresses, networks, ports: as Go reads the list."""
    assert bypassed(no_proxy, host) is direct


@pytest.mark.parametrize("follow", [True, False])
async def test_redirects(service: Service, follow: bool) -> None:
    """Followed unless the file says no; then a redirect is an answer that is no success."""
    service.answer = lambda r: (
        web.Response(status=307, headers={"Location": f"{service.url}/there"}) if r.path == "/" else web.Response()
    )
    made = sender(follow_redirects=follow)
    if follow:
        await made.post_json(service.url, b"{}")
        assert [(r.method, r.path, r.text) for r in service.requests] == [("POST", "/", "{}"), ("POST", "/there", "{}")]
    else:
        with pytest.raises(NotifyError, match="307"):
            await made.post_json(service.url, b"{}")
    await made.close()


async def test_a_socks_proxy(service: Service) -> None:
    """A proxy may speak SOCKS 5; it is told where to connect to, and the name is not looked up here."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly((await reader.readexactly(2))[1])
        writer.write(b"\x05\x00")
        await reader.readexactly(4)
        asked.append((await reader.readexactly((await reader.readexactly(1))[0])).decode())
        await reader.readexactly(2)
        writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
        behind = await asyncio.open_connection(*service.url.removeprefix("http://").split(":"))
        await asyncio.gather(_pipe(reader, behind[1]), _pipe(behind[0], writer))

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    made = sender(proxy_url=f"socks5://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
    await made.post_json("http://hooks.example/x", b"{}")
    assert asked == ["hooks.example"]
    assert service.requests[0].path == "/x"
    await made.close()
    proxy.close()


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
    sink.close()


@pytest.mark.parametrize("credentials", [{"bearer_token": SECRET}, {"basic_auth": {"username": "u", "password": "p"}}])
async def test_no_credentials_for_another_host(service: Service, credentials: dict[str, Any]) -> None:
    """A redirect to somewhere else is followed without what was meant for the first."""
    other = await Service().start()
    service.answer = lambda _: web.Response(status=307, headers={"Location": f"{other.url}/there"})
    made = sender(**credentials)
    await made.post_json(service.url, b"{}")
    assert "Authorization" in service.requests[0].headers
    assert "Authorization" not in other.requests[0].headers
    await made.close()
    await other.stop()
