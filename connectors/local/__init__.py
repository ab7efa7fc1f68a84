"""Real Kafka, PostgreSQL and MinIO on this machine, from packages: what `make up` starts."""
