"""What tests and pictures of Slack messages share."""
