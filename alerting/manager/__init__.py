"""The alert manager: routes, groups, timers, deduplication and delivery, in Alertmanager's terms."""
