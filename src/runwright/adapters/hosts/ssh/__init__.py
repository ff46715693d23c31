"""Hosts reached by SSH. `SshConnector` is what the rest of the program sees."""

from runwright.adapters.hosts.ssh.connector import SshConnector

__all__ = ["SshConnector"]
