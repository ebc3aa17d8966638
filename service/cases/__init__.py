"""Policy cases: small tables of what is sent and what must be found, run through the real parser and rules."""
