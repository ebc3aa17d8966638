"""Tests of service/dtr."""
