"""On import, make mmengine's ``print_log`` drop debug messages, which the toolkits print on import."""

import logging

import mmengine.logging

_print_log = mmengine.logging.print_log


def _above_debug(msg, logger=None, level=logging.INFO):
    if logger is not None or level > logging.DEBUG:
        _print_log(msg, logger, level)


mmengine.logging.print_log = _above_debug
