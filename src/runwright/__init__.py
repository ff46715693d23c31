"""Runwright runs runbooks on machines, proves whether each run ended the incident, and learns from failures."""

__version__ = "0.1.0"
