"""The catalogue of general repairs: pure functions of a case. None knows a scenario, service or file by name."""

from __future__ import annotations

from runwright.learning.repairs.case import Case, Repair, Suggestion
from runwright.learning.repairs.configs import restore_configuration, restore_environment_file
from runwright.learning.repairs.disks import (
    deleted_logs_held_open,
    marked_caches,
    old_leavings,
    old_sessions,
    rotated_logs,
)
from runwright.learning.repairs.locks import stale_file, stale_socket
from runwright.learning.repairs.paths import missing_directory, missing_working_directory, wrong_owner
from runwright.learning.repairs.ports import port_held_by_earlier_instance
from runwright.learning.repairs.processes import end_for_good, orphaned_shared_memory, restart_instead_of_reload
from runwright.learning.repairs.timing import longer_timeout, wait_until_up
from runwright.learning.repairs.tools import alternative_tool, step_without_its_path, step_without_its_tool
from runwright.learning.repairs.units import failed_dependency, open_files_limit, reload_units, start_limit

CATALOGUE: tuple[Repair, ...] = (
    stale_file,
    stale_socket,
    missing_directory,
    missing_working_directory,
    wrong_owner,
    start_limit,
    reload_units,
    failed_dependency,
    open_files_limit,
    port_held_by_earlier_instance,
    restore_configuration,
    restore_environment_file,
    alternative_tool,
    step_without_its_tool,
    step_without_its_path,
    longer_timeout,
    wait_until_up,
    deleted_logs_held_open,
    old_sessions,
    rotated_logs,
    old_leavings,
    marked_caches,
    end_for_good,
    restart_instead_of_reload,
    orphaned_shared_memory,
)
"""Every repair there is. The order breaks ties of expected success."""


def suggestions(case: Case) -> tuple[Suggestion, ...]:
    """What the catalogue offers for a case, the likeliest cure first; of equals the smaller change."""
    found = [suggestion for repair in CATALOGUE if (suggestion := repair(case)) is not None]
    return tuple(sorted(found, key=lambda item: (-item.success, len(item.edits))))
