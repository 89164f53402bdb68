"""Training of the sketch engine's network: any folder of images, on a CPU or a GPU, resumable."""
