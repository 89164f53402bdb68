"""How many machines a number of subscribers needs, from measured figures and stated assumptions."""
