"""What differs where a network is written down for another runtime instead of being run."""

import torch


def is_exported() -> bool:
    """Whether ``torch.export`` writes down what is computed.

    What saves time or memory by taking a part after the other would then be written down part
    by part, and what only PyTorch has would find no counterpart.
    """
    # of PyTorch 2.7 on; before, a compiler and an exporter look alike
    return bool(getattr(torch.compiler, 'is_exporting', torch._dynamo.is_compiling)())
