"""Pyrra's ServiceLevelObjective, and its windows."""
