"""Click events become committed shards."""
