"""Checks of the environment, a config and its data before training: ``python -m mixpro_mm.doctor``.

The package imports only the standard library and ``packaging``; everything else is imported in a child process.
"""
