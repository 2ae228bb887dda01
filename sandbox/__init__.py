"""A simulated outside world over real HTTP: payers, eligibility, EHR, messaging, check-in and fax, with faults.

It stands outside the product: it imports nothing of it, and nothing of the product imports it. See `docs/sandbox.md`.
"""
