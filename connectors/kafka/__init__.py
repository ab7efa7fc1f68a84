"""Kafka: the source, the sink, topics and dead letters."""
