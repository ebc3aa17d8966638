"""Tests of the official validation and of the ledger of requirements."""
