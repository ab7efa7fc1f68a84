"""Kafka: the source and the sink of the dataflows, topics, dead letters."""
