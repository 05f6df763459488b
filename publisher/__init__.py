"""Deltas become a served version: item vectors staged and verified, gates, promotion, rollback, status."""
