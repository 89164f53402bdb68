"""The network as diffusers knows models: `save_pretrained`, `from_pretrained`, a configuration.

In: a size. Out: a `SketchModel` with the layers and tensor names of `SketchNetwork`. Refuses: what diffusers refuses.
Importing this takes seconds; the engine uses load.py instead, on the same files.
"""

from __future__ import annotations

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin

from client_runtime.engines.sketch.network import Shape, SketchNetwork


class SketchModel(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """See network.py; the arguments are those of `Shape`."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        width: int = 64,
        deep: int = 96,
        half: int = 32,
        thin: int = 16,
        blocks_before: int = 3,
        blocks_deep: int = 6,
        blocks_after: int = 3,
        blocks_half: int = 1,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        shape = Shape(width, deep, half, thin, blocks_before, blocks_deep, blocks_after, blocks_half)
        SketchNetwork.build(self, shape)  # type: ignore[arg-type]  # the same layers under the same names

    forward = SketchNetwork.forward
    full_size = SketchNetwork.full_size
