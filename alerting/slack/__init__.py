"""Slack: messages in Block Kit that follow a group of alerts, and what people answer with buttons and commands."""
