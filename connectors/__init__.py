"""Everything that talks to the outside: Kafka, PostgreSQL, S3, local services, commands."""
