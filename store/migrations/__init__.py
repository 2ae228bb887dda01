"""The history of the schema, one file a step. `store.migrate` applies it."""
