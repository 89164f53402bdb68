"""The engine as a diffusers pipeline, for those who build on diffusers.

In: bundles. Out: pictures, as PIL images or arrays. Refuses: broken bundles (`BundleError`).
"""

from __future__ import annotations

from collections.abc import Sequence

from diffusers import DiffusionPipeline, ImagePipelineOutput
from PIL import Image

from client_runtime.engines.sketch.draw import Sketcher
from client_runtime.engines.sketch.model import SketchModel
from proxy.bundle.model import Bundle


class SketchPipeline(DiffusionPipeline):
    """`SketchPipeline(SketchModel.from_pretrained(folder))(bundles).images`."""

    model: SketchModel

    def __init__(self, model: SketchModel) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.register_modules(model=model)  # type: ignore[attr-defined]

    def __call__(self, bundles: Bundle | Sequence[Bundle], output_type: str = "pil") -> ImagePipelineOutput:
        """Draw each bundle at its size; `output_type` is "pil", or "np" for uint8 arrays (height, width, 3)."""
        several = [bundles] if isinstance(bundles, Bundle) else list(bundles)
        drawn = Sketcher(self.model, self.model.device, self.model.dtype).draw(several)
        images = [Image.fromarray(picture) for picture in drawn] if output_type == "pil" else drawn
        return ImagePipelineOutput(images)  # type: ignore[no-untyped-call]
