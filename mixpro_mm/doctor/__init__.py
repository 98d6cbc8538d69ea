"""``python -m mixpro_mm.doctor [CONFIG]``: will training start here, and if not, which command mends it?

Importing this package needs nothing but the standard library, for it has to run where everything else is broken: what
may fail is imported by a child process, and only its answers come back.
"""

__all__ = []
