"""Adapters: what publishers ship, and a synthetic log, as events in time order."""
