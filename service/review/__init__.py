"""The payer's reviewers: accounts, sessions, worklist, case page, decisions, report."""
