"""Coverage requirements discovery over CDS Hooks (Da Vinci CRD 2.0.1 and 2.2.1)."""
