"""The queue, decisions and the approval gate: nothing runs on a managed host without a person's live approval."""
