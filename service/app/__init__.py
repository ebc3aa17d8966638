"""The composition of the service: concrete adapters, routes, errors to HTTP, operations and the front page."""
