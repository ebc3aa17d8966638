"""Payer-side prior authorization: CRD, DTR and PAS over policies that are data."""
