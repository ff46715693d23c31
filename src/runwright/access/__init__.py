"""Who may do what: principals, permissions, passwords, sessions, tokens, signatures, the audit chain."""
