"""Specimens of every durable format: what was written once is read, and written, the same for ever."""
