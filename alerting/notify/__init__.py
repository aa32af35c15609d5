"""Ways to tell somebody: one notifier a file."""
