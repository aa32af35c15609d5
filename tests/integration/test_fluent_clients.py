"""The loggers people use, over real sockets: a thousand records each, back by LogQL, in order."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import fluent.sender
import msgpack
import pytest

from app.config import Address, FluentForward, Limits, TlsFiles
from app.query.logql.engine import LogQLEngine
from app.query.logql.result import LogResult
from app.store.client import Pool
from ingest.fluentbit.forward import ForwardReceiver
from ingest.writer import Writer

CACHE = Path(__file__).parent.parent / ".cache" / "npm"
NODE_LOGGER = "@fluent-org/logger@1.0.10"
FREE = Address(host="127.0.0.1", port=0)
YEARS_NS = 2**62
N = 1000

Start = Callable[[FluentForward], Awaitable[ForwardReceiver]]

NODE_PROGRAM = """
const { FluentClient } = require("@fluent-org/logger");
const [port, mode, sharedKey, n] = process.argv.slice(1);
const client = new FluentClient("node", {
  eventMode: mode, ack: { ackTimeout: 20000 },
  socket: { host: "127.0.0.1", port: Number(port), timeout: 10000, disableReconnect: true },
  ...(sharedKey ? { security: { clientHostname: "test", sharedKey } } : {}),
});
(async () => {
  await client.connect();
  const sent = [];
  for (let i = 0; i < Number(n); i++) sent.push(client.emit("app", { message: `line ${i} 한국어`, n: i }));
  await Promise.all(sent);
  await client.shutdown();
  console.log("acknowledged");
})().catch((error) => { console.error(error); process.exit(1); });
"""


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The folder with the Node logger, installed once."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("npm and node are not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    if not (CACHE / "node_modules" / "@fluent-org" / "logger").exists():
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(CACHE), NODE_LOGGER]
        done = subprocess.run(install, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            pytest.skip(f"the npm registry does not give {NODE_LOGGER}: {done.stderr[-300:]}")
    return CACHE / "node_modules"


@pytest.fixture
async def started(writer: Writer) -> AsyncIterator[Start]:
    """Starts receivers, and stops them at the end."""
    receivers: list[ForwardReceiver] = []

    async def start(config: FluentForward) -> ForwardReceiver:
        receiver = ForwardReceiver(writer, config, Limits())
        await receiver.start()
        receivers.append(receiver)
        return receiver

    yield start
    for receiver in receivers:
        await receiver.stop()


def texts(pool: Pool, query: str) -> list[str]:
    """The lines of a LogQL query, oldest first."""
    result = LogQLEngine(pool, Limits()).range(query, 0, YEARS_NS, step_ms=1000, limit=5000, direction="forward")
    assert isinstance(result, LogResult)
    return [line.text for line in result.lines]


async def until_kept(pool: Pool, n: int) -> None:
    """Waits for n lines from a sender that is told nothing."""
    async with asyncio.timeout(20):
        while await asyncio.to_thread(pool.command, "SELECT count() FROM logs") < n:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("precise", [False, True], ids=["seconds", "nanoseconds"])
async def test_fluent_logger_for_python(started: Start, embedded_pool: Pool, precise: bool) -> None:
    """fluent-logger's records are as many lines, in order, also where a thousand have one time."""
    receiver = await started(FluentForward(listen=FREE))

    def emit() -> None:
        sender = fluent.sender.FluentSender("py", port=receiver.port, host="127.0.0.1", nanosecond_precision=precise)
        for i in range(N):
            assert sender.emit("app", {"message": f"line {i}", "level": "WARNING", "deep": {"a": [i]}})
        sender.close()

    await asyncio.to_thread(emit)
    await until_kept(embedded_pool, N)
    assert texts(embedded_pool, '{tag="py.app"}') == [f"line {i}" for i in range(N)]
    assert len(texts(embedded_pool, '{tag="py.app"} |= "line 99"')) == 11


async def node(modules: Path, *arguments: str) -> tuple[int, str, str]:
    """Status, output and error output of the Node program."""
    process = await asyncio.create_subprocess_exec(
        "node",
        "-e",
        NODE_PROGRAM,
        *arguments,
        env={"NODE_PATH": str(modules), "PATH": "/usr/local/bin:/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.parametrize("mode", ["Message", "Forward", "PackedForward", "CompressedPackedForward"])
async def test_fluent_logger_for_node_with_ack(
    started: Start, embedded_pool: Pool, node_modules: Path, mode: str
) -> None:
    """Each record is acknowledged when it is kept, and comes back in order, in every mode of the protocol."""
    receiver = await started(FluentForward(listen=FREE))
    assert await node(node_modules, str(receiver.port), mode, "", str(N)) == (0, "acknowledged\n", "")
    assert texts(embedded_pool, '{tag="node.app"}') == [f"line {i} 한국어" for i in range(N)]


@pytest.mark.parametrize("key", ["the right one", "another"])
async def test_shared_key(started: Start, embedded_pool: Pool, node_modules: Path, tmp_path: Path, key: str) -> None:
    """A sender with the shared key is taken; one with another is told so and nothing of it is kept."""
    (tmp_path / "key").write_text("the right one\n")
    receiver = await started(FluentForward(listen=FREE, shared_key_file=tmp_path / "key"))
    _, out, _ = await node(node_modules, str(receiver.port), "PackedForward", key, "10")
    good = key == "the right one"
    assert out == ("acknowledged\n" if good else "")
    assert embedded_pool.command("SELECT count() FROM logs") == (10 if good else 0)


async def test_without_the_shared_key_nothing_is_taken(started: Start, embedded_pool: Pool, tmp_path: Path) -> None:
    """A sender that does not shake hands is closed, and its records are not kept."""
    (tmp_path / "key").write_text("secret")
    receiver = await started(FluentForward(listen=FREE, shared_key_file=tmp_path / "key"))
    reader, client = await asyncio.open_connection("127.0.0.1", receiver.port)
    client.write(msgpack.packb(["t", 1_700_000_000, {"log": "x"}, {"chunk": "c"}]))
    answer = await reader.read()
    client.close()
    assert msgpack.unpackb(answer)[0] == "HELO"
    assert b"secret" not in answer
    assert embedded_pool.command("SELECT count() FROM logs") == 0


@pytest.fixture
def certificate(tmp_path: Path) -> TlsFiles:
    """A certificate for localhost and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl, which makes the certificate, is not installed")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return TlsFiles(cert_file=cert, key_file=key)


async def test_tls(started: Start, embedded_pool: Pool, certificate: TlsFiles) -> None:
    """With a certificate the same protocol is spoken over TLS."""
    receiver = await started(FluentForward(listen=FREE, tls=certificate))
    context = ssl.create_default_context(cafile=str(certificate.cert_file))
    context.check_hostname = False
    reader, client = await asyncio.open_connection("127.0.0.1", receiver.port, ssl=context)
    entries = [[1_700_000_000 + i, {"log": f"{i} " + "x" * 5000}] for i in range(200)]
    client.write(msgpack.packb(["t", entries, {"chunk": "c"}]))
    unpacker = msgpack.Unpacker()
    unpacker.feed(await reader.read(100))
    client.close()
    assert unpacker.unpack() == {"ack": "c"}
    assert len(texts(embedded_pool, '{tag="t"}')) == 200
