"""Render work directories: result records and logs in; tables, figures, the report of a study, the paper's tables out.

Needs numpy, scipy, matplotlib and Pillow only, so a report can be made anew on a machine without any mm* package.
"""
