"""DTR for the payer: the forms with their logic, and drafts of the answers that the chart already gives."""
