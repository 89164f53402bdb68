"""How well the chooser chooses: calibration of its floor on one half of a set of images, the report on the other."""
