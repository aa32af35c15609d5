"""Prometheus's rules: files, evaluation, state, and their unit tests."""
