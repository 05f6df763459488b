"""Models that somebody else's code has trained, brought to the form of a base."""
