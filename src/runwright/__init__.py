"""Runwright runs runbooks on machines, proves whether each run ended the incident, and learns from failures."""
