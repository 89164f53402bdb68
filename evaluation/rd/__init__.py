"""Rate and distortion: curves against the classical codecs, `auto` against fixed modes, what each section brings."""
