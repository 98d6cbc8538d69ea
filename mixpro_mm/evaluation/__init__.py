"""How robust a classifier is: occlusion, natural adversarial images, out-of-distribution images, calibration.

Import from the modules: ``functional`` needs NumPy only, ``metrics``, ``occlusion`` and ``record`` need mmengine.
"""
