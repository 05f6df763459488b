"""Alerts on what the stages tell Prometheus, and an example of how it is told."""
