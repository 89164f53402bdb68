"""Running an experiment over many images: results that are kept, resumed and computed in parallel."""
