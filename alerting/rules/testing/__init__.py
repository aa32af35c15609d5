"""promtool's unit tests of rules."""
