"""People's own topics: their records in their own formats become our events, keyed by user."""
