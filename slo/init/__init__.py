"""A first SLO file from the metrics that are there."""
