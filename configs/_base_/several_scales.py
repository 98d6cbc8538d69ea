# The scales of a test at several, as in mmseg; the configs multiply 520 px with them, and add the mirror images.
ratios = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
