"""The member directory: what is loaded, and what is answered by it."""
