"""Coverage-guided fuzzing of what reads foreign bytes: `make fuzz SECONDS=60 TARGET=samples`."""
