"""Questionnaires and the answers to them: what was asked, what counts as an answer, how a drug is named."""
