"""The shared use case: match a policy, weigh the evidence, decide. Values in, a Determination out."""
