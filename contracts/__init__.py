"""The boundaries between the stages, one file each, and the one durable mechanism: the chain."""
