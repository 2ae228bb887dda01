"""Wire formats and HTTP clients of the systems outside. They import the domain only."""
