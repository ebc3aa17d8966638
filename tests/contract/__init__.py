"""Each port against every adapter."""
