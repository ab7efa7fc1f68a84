"""The query interface `/v1`: from a query string to a question, to SQL, to an answer."""
