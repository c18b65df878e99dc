"""The `.embdc` container, embdc(5): chunks, index, writing, reading, recovery. Needs numpy, never torch."""
