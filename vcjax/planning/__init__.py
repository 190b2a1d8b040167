"""Planning: programs compiled for machines that are not at hand, and what they cost there."""
