"""PostgreSQL: the schema's migrations, the writer of minutes, and the sink that feeds it."""
