"""Reading from a caller's FHIR server with its token: bounded in time, size and reach."""
