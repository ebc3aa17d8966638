"""What the service says, judged by HL7's reference validator; and which tests prove which statement of a guide."""
