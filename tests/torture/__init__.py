"""Torture: real stream workers on a real Kafka, faults from a seed, and an undisturbed fold to compare with."""
