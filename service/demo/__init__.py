"""The demo EHR: a made-up clinic that orders, fills the form and asks for prior authorization over HTTP."""
