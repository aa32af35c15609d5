"""Service level objectives: specs, counting, burn rates, budgets and their alerts."""
