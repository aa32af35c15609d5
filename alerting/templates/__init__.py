"""Templates of rules and notifications: Prometheus's and Alertmanager's functions, and what they see."""
