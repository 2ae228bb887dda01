"""Documentation templates and rules (Da Vinci DTR): a payer's forms, fetched for a person to fill in."""
