"""Random PromQL queries, asked of Watchhouse and of a real Prometheus."""
