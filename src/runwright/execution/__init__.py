"""One version on one host: before-state, journal, steps, after-state, verdict, rollback."""
