"""What was accepted, kept: the Store on SQLite and PostgreSQL, and in memory."""
