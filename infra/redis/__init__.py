"""A real Redis for tests and measurements."""
