"""X12: the segment layer, envelopes, and the transactions that a practice exchanges with payers by clearinghouse."""
