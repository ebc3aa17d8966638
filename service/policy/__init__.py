"""The pure core: policies, findings and decisions as values. No I/O, clock, ids or FHIR classes."""
