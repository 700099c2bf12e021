"""The logger of a process, with OpenMMLab and without it."""

import logging
import sys


def get_logger() -> logging.Logger:
    """Return mmengine's logger where mmengine is in use, else one that looks like it."""
    engine = sys.modules.get('mmengine.logging')
    if engine is not None:
        return engine.MMLogger.get_current_instance()
    logger = logging.getLogger('mmentity')
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        text = '%(asctime)s - %(name)s - %(levelname)s - %(message)s'
        handler.setFormatter(logging.Formatter(text, '%m/%d %H:%M:%S'))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    return logger
