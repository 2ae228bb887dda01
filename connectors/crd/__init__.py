"""Coverage requirements discovery (Da Vinci CRD): the payer's own rules, asked by CDS Hooks before ours decide."""
