"""FHIR R4 at the edges: JSON, structure check, building, reference resolution, OperationOutcome."""
