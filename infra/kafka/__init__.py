"""A Kafka broker to be had on any machine: in a container, or as a local Java process."""
