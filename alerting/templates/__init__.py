"""Templates in rules and notifications: the functions and data of Prometheus's and Alertmanager's."""
