"""Da Vinci PAS over FHIR R4: what a practice writes to a payer, how the answers are read, and the client between."""
