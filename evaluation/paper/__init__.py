"""The paper's experiments, on any set of images: "Rethinking Image Compression on the Web with Generative AI"."""
