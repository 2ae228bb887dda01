"""The pure core: facts, the case they fold into, and the plan that follows from it. No I/O, no clock reads, no Temporal."""
