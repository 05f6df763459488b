"""Real servers for the demo and the tests: how they are found, installed, started and ended."""
