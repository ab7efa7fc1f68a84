"""Everything that talks to the outside: Kafka, PostgreSQL, S3, the local services, the command line."""
