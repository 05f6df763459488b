"""Headline figures, each printing us and a peer side by side from one run."""
