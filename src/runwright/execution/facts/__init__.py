"""Facts of a host: each a POSIX sh question and a pure reading of its answer."""
