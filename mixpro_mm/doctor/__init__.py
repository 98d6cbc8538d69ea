"""Checks of the environment, a config and its data before training: ``python -m mixpro_mm.doctor``."""
