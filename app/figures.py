"""Figures as messages have them: burn rates, ratios, lengths of time."""

from __future__ import annotations

from app.durations import format_duration_ms


def times(burn: float | None) -> str:
    """A burn rate: `14.4×`."""
    return "unknown" if burn is None else f"{_digits(burn)}×"


def percent(ratio: float | None) -> str:
    """A ratio in per cent: `63.1 %`."""
    return "unknown" if ratio is None else f"{_digits(100 * ratio)} %"


def span(ms: float | None) -> str:
    """A length of time in at most two units: `3d4h`, `1h30m`, `5m`, `12s`."""
    if ms is None:
        return "unknown"
    whole = round(ms)
    for coarse, fine in ((86_400_000, 3_600_000), (3_600_000, 60_000), (60_000, 1000), (1000, 1000)):
        if abs(whole) >= coarse:
            days, rest = divmod(abs(whole) // fine * fine, 86_400_000)
            text = (f"{days}d" if days else "") + (format_duration_ms(rest) if rest else "")
            return f"-{text}" if whole < 0 else text
    return format_duration_ms(whole)


def _digits(value: float) -> str:
    """About three digits that matter; never an exponent."""
    size = abs(value)
    text = f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 4}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
