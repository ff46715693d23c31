"""Words of the house: records, enums, ids, tables of edges, errors, ports. No I/O, no clock."""
