"""Tests of service/fhir."""
