"""PostgreSQL: migrations, the read model, the archive of facts, policies, tokens, audit. All SQL of the product is here."""
