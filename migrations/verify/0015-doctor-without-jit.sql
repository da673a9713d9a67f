-- Verify 0015-doctor-without-jit: each query fails if what it names is missing.

-- generated: none
