"""A real Apache Kafka for tests: one KRaft broker from the jars of Maven Central, on free ports of 127.0.0.1.

`KAFKA_BOOTSTRAP_SERVERS` names a broker to use instead. The jars are fetched once, into tests/.cache/kafka.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port

VERSION = "3.9.1"
CACHE = Path(__file__).parent / ".cache" / "kafka"
START_SECONDS = 60.0
RUN = uuid.uuid4().hex[:8]
"""Ends the names of topics and groups, so that a broker that outlives a run is as good as a new one."""

SESSION_MS = 6000 if os.environ.get("KAFKA_BOOTSTRAP_SERVERS") else 2000
"""How soon a killed member is missed: no broker takes less than six seconds unless it is told to, as ours is."""

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>watchhouse.tests</groupId>
  <artifactId>kafka-broker</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""

_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
controller.listener.names=CONTROLLER
log.dirs={folder}/log
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
num.network.threads=2
num.io.threads=2
log.cleaner.enable=false
"""


@contextlib.contextmanager
def kafka_broker() -> Iterator[str]:
    """The `host:port` of a running broker. Skips the test, with the reason, where there can be none."""
    named = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if named:
        yield named
        return
    java = shutil.which("java")
    if java is None:
        pytest.skip("no JVM to run Apache Kafka in, and KAFKA_BOOTSTRAP_SERVERS names no broker")
    jars = _jars()
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="kafka-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        with _running(java, jars, folder) as address:
            yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _jars() -> Path:
    """The folder of Kafka's jars, fetched by Maven when they are not there."""
    jars = CACHE / f"jars-{VERSION}"
    if jars.is_dir():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        pytest.skip("Apache Kafka's jars are not in tests/.cache/kafka, and there is no mvn to fetch them")
    CACHE.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=CACHE))
    (work / "pom.xml").write_text(_POM, encoding="utf-8")
    command = [maven, "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=jars"]
    try:
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            pytest.skip(f"Maven cannot fetch Apache Kafka: {(done.stdout + done.stderr).strip()[-300:]}")
        # renamed when whole, so that a run that was cut off leaves no half of a folder
        with contextlib.suppress(FileExistsError):
            (work / "jars").rename(jars)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return jars


@contextlib.contextmanager
def _running(java: str, jars: Path, folder: Path) -> Iterator[str]:
    broker, controller = free_port(), free_port()
    properties = folder / "server.properties"
    properties.write_text(_PROPERTIES.format(broker=broker, controller=controller, folder=folder), encoding="utf-8")
    run = [java, "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*"]
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    storage = [*run, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
    with (folder / "broker.txt").open("wb") as output:
        subprocess.run(storage, stdout=output, stderr=output, timeout=START_SECONDS, check=True)
        process = subprocess.Popen([*run, "kafka.Kafka", str(properties)], stdout=output, stderr=output)
        try:
            _wait_for_port(broker, process, folder / "broker.txt")
            yield f"127.0.0.1:{broker}"
        finally:
            process.kill()
            process.wait()


def _wait_for_port(port: int, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)  # another program's port gives no event to wait for
    pytest.fail(f"Apache Kafka did not start: {output.read_text(errors='replace')[-2000:]}")
