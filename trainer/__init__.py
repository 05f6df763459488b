"""Shards become deltas all day (user rows only) and, nightly, a base (all parameters)."""
