"""Did it work? One verifier per incident type, and the runbook's own checks, observed on the host."""
