"""Hosts out of inventory files: Ansible's (INI, YAML, the JSON of `ansible-inventory --list`) and CSV. Pure.

Values of secrets are never taken over: where a file holds one, the host names a secret, and whoever imports is told
where to put its value. A file is read whole or not at all, and every fault has its line.
"""

from runwright.surfaces.host_import.read import FORMATS, Defaults, ReadHosts, read_hosts

__all__ = ["FORMATS", "Defaults", "ReadHosts", "read_hosts"]
