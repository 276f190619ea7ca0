"""Networks with attention, the data they learn from, and their training."""
