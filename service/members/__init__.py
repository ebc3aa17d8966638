"""The member directory: reading what the payer loads, and the directory in memory."""
