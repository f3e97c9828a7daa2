"""The SQL schema and how an installation comes to it."""
