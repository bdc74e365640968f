"""Slack: direct messages, channels and threads."""
