"""A sheet of pictures side by side, for looking at.

In: batches of the same size. Out: a PNG with one row a picture and one column a batch. Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def write(path: Path, batches: Sequence[Tensor], rows: int = 8) -> None:
    """Each batch (N, 3, h, w) in 0..1 becomes a column; at most `rows` rows."""
    columns = [torch.cat(list(batch[:rows].float().cpu()), 1) for batch in batches]
    sheet = torch.cat(columns, 2).clamp(0, 1).permute(1, 2, 0).numpy()
    Image.fromarray(np.rint(sheet * 255).astype(np.uint8)).save(path)
