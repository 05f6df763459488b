"""A served version answers: user rows (base and deltas), user tower, item search, trend table, filter."""
