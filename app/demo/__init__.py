"""`watchhouse demo`: the service, a small shop to watch, an incident in it, and Slack's part played locally."""
