"""Policies read from folders of data: manifest, forms, logic, value sets, and the cross-checks between them."""
