"""`POST /api/v1/read`: Prometheus remote read, as whole samples or as a stream of XOR chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import cramjam
import re2
from aiokafka.record.util import calc_crc32c
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from google.protobuf.message import DecodeError as ProtobufError

from app.api.body import TooLarge, read_body
from app.api.gate import QueryGate
from app.config import Limits
from app.errors import BadQuery, DecodeError
from app.labels import Labels, Matcher, MatchOp, anchored, labels_from
from app.query.promql.ast import Selector
from app.query.promql.engine import PromQLEngine
from app.query.promql.xor_chunks import CHUNK_SAMPLES, encode_chunk
from app.query.result import Samples
from ingest import prompb
from ingest.write_request import decompress

_SAMPLES, _STREAMED_XOR_CHUNKS = 0, 1
_OPS = (MatchOp.EQUAL, MatchOp.NOT_EQUAL, MatchOp.REGEX, MatchOp.NOT_REGEX)
_FRAME_CHUNKS = 1000
_XOR = 1


def read_router(
    engine: PromQLEngine, gate: QueryGate, limits: Limits, external_labels: Callable[[], Mapping[str, str]]
) -> APIRouter:
    """`/api/v1/read`. `external_labels` are those of the scrape configuration in force."""
    router = APIRouter(prefix="/api/v1", tags=["prometheus"])

    @router.post("/read", response_class=Response)
    async def read(request: Request) -> Response:
        """Samples of series, stale markers among them; native histograms are left out."""
        try:
            asked = prompb.ReadRequest.FromString(decompress(await read_body(request, limits.max_body_bytes), limits))
        except (ProtobufError, DecodeError, TooLarge) as error:
            raise BadQuery(f"not a remote read request: {error}") from None
        streamed, own = _streamed(asked.accepted_response_types), dict(external_labels())
        spans = [(_selector(q.matchers, own), q.start_timestamp_ms, q.end_timestamp_ms) for q in asked.queries]

        def answer() -> Response:
            found = [engine.raw(*span) for span in spans]
            if streamed:
                media_type = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
                return StreamingResponse(_frames(found, own), headers={"Content-Type": media_type})
            body = bytes(cramjam.snappy.compress_raw(_whole(found, own)))
            return Response(body, headers={"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"})

        return await gate.run(answer, request, "remote read " + ", ".join(_shown(s) for s, _, _ in spans))

    return router


def _streamed(accepted: Sequence[int]) -> bool:
    if not accepted:
        return False
    for kind in accepted:
        if kind in (_SAMPLES, _STREAMED_XOR_CHUNKS):
            return kind == _STREAMED_XOR_CHUNKS
    raise BadQuery(f"server does not support any of the requested response types: {list(accepted)}")


def _selector(matchers: Sequence[Any], external: Mapping[str, str]) -> Selector:
    found = []
    for m in matchers:
        if not 0 <= m.type < len(_OPS):
            raise BadQuery("invalid matcher type")
        op, value = _OPS[m.type], m.value
        if op is MatchOp.EQUAL and external.get(m.name) == value:
            value = ""  # series have their external labels only outside
        if op in (MatchOp.REGEX, MatchOp.NOT_REGEX):
            try:
                anchored(value)
            except re2.error as error:
                raise BadQuery(f"error parsing regexp {value!r}: {error}") from None
        found.append(Matcher(m.name, op, value))
    return Selector((tuple(found),))


def _shown(selector: Selector) -> str:
    return "{" + ",".join(f"{m.name}{m.op.value}{m.value!r}" for m in selector.alternatives[0]) + "}"


def _series(samples: Samples, external: Mapping[str, str]) -> Iterator[tuple[Labels, slice]]:
    """Every series by its labels outside, in their order, and where its samples are."""
    outside = [labels_from({**external, **dict(labels)}) for labels in samples.labels]
    for i in sorted(range(len(outside)), key=outside.__getitem__):
        yield outside[i], slice(int(samples.offsets[i]), int(samples.offsets[i + 1]))


def _whole(found: Sequence[Samples], external: Mapping[str, str]) -> bytes:
    answer = prompb.ReadResponse()
    for samples in found:
        result = answer.results.add()
        for labels, part in _series(samples, external):
            series = result.timeseries.add()
            _name(series, labels)
            for at, value in zip(samples.ts_ms[part].tolist(), samples.values[part].tolist(), strict=True):
                series.samples.add(timestamp=at, value=value)
    return bytes(answer.SerializeToString())


def _frames(found: Sequence[Samples], external: Mapping[str, str]) -> Iterator[bytes]:
    for query, samples in enumerate(found):
        for labels, part in _series(samples, external):
            ts_ms, values = samples.ts_ms[part], samples.values[part]
            for first in range(0, len(ts_ms), CHUNK_SAMPLES * _FRAME_CHUNKS):
                message = prompb.ChunkedReadResponse(query_index=query)
                series = message.chunked_series.add()
                _name(series, labels)
                for i in range(first, min(len(ts_ms), first + CHUNK_SAMPLES * _FRAME_CHUNKS), CHUNK_SAMPLES):
                    own = ts_ms[i : i + CHUNK_SAMPLES]
                    data = encode_chunk(own, values[i : i + CHUNK_SAMPLES])
                    series.chunks.add(min_time_ms=int(own[0]), max_time_ms=int(own[-1]), type=_XOR, data=data)
                yield frame(message.SerializeToString())


def frame(message: bytes) -> bytes:
    """A message of a stream: its length as a varint, its CRC-32C, itself."""
    length, rest = bytearray(), len(message)
    while rest >= 0x80:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    length.append(rest)
    return bytes(length) + int(calc_crc32c(message)).to_bytes(4, "big") + message


def _name(series: Any, labels: Labels) -> None:
    for name, value in labels:
        series.labels.add(name=name.encode(), value=value.encode())
