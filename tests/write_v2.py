"""Remote write 2.0 requests as the protobuf library writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingest import prompb_v2


@dataclass(frozen=True)
class Series:
    """A series of a request: samples are (milliseconds, value, start), exemplars (milliseconds, value, labels)."""

    labels: dict[str, str]
    samples: Sequence[tuple[int, float, int]] = ()
    histograms: Sequence[Any] = ()
    exemplars: Sequence[tuple[int, float, dict[str, str]]] = ()
    metadata: tuple[int, str, str] | None = None
    """Type, help, unit."""


@dataclass
class Symbols:
    """A table of symbols as it is filled."""

    places: dict[str, int] = field(default_factory=lambda: {"": 0})

    def __call__(self, *texts: str) -> list[int]:
        return [self.places.setdefault(text, len(self.places)) for text in texts]


def message_of(series: Iterable[Series], symbols: Symbols | None = None) -> Any:
    """The Request message; its symbols are in the order they come in, behind those of `symbols`."""
    places = symbols or Symbols()
    request = prompb_v2.Request()
    for one in series:
        entry = request.timeseries.add(labels_refs=places(*(text for pair in one.labels.items() for text in pair)))
        for ts_ms, number, start_ms in one.samples:
            entry.samples.add(timestamp=ts_ms, value=number, start_timestamp=start_ms)
        entry.histograms.extend(one.histograms)
        for ts_ms, number, labels in one.exemplars:
            refs = places(*(text for pair in labels.items() for text in pair))
            entry.exemplars.add(timestamp=ts_ms, value=number, labels_refs=refs)
        if one.metadata:
            kind, text, unit = one.metadata
            entry.metadata.type = kind
            entry.metadata.help_ref, entry.metadata.unit_ref = places(text, unit)
    request.symbols.extend(text.encode() for text in places.places)
    return request


def body_of(series: Iterable[Series], symbols: Symbols | None = None) -> bytes:
    """The bytes of `message_of`."""
    return bytes(message_of(series, symbols).SerializeToString())
