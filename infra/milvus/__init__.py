"""A Milvus server to be had without an engine or a registry."""
