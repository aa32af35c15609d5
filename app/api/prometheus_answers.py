"""The envelope of Prometheus's answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import Response


def success(data: Any, warnings: Sequence[str] = ()) -> Response:
    """An answer that holds `data`."""
    notes = {"warnings": list(warnings)} if warnings else {}
    return answer(orjson.dumps({"status": "success", "data": data, **notes}))


def answer(body: bytes) -> Response:
    """An answer that is encoded already."""
    return Response(body, media_type="application/json")
