"""Distances between a picture and what was made of it; `measure.Measure` computes all of them."""
