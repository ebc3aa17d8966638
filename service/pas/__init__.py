"""PAS: prior authorization requests and inquiries, in the shapes of guide versions 2.0.1 and 2.2.1."""
