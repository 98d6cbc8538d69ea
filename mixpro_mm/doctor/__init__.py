"""``python -m mixpro_mm.doctor [CONFIG]``: will training start here, on this config and its data, and if not, which
command fixes it?

Imports the standard library and ``packaging`` only: everything that may fail is imported in a child process.
"""
