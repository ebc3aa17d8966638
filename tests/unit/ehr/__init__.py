"""Tests of reading from a caller's FHIR server."""
