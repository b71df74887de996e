"""The heads under the path that tasks of the public S3PRL import: `from ..model import *`.

The star brings torch, nn and F along there too, so it does here.
"""

import torch  # noqa: F401
import torch.nn as nn  # noqa: F401
import torch.nn.functional as F  # noqa: F401

from .common.heads import *  # noqa: F403
