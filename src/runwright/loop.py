"""The stages in order: from an alert to a better runbook. Read this file to see the whole way."""
