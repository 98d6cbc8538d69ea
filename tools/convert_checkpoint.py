"""Convert a checkpoint: python tools/convert_checkpoint.py SRC DST --to {mmpretrain,mmseg,mmdet,mixpro,timm}."""

import sys

import mixpro_mm.utils.host_prints  # noqa: F401
from mixpro_mm.transfer.cli import main

sys.exit(main())
