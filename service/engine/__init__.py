"""Runs CQL that is already translated to ELM, in process, over one patient's records."""
