"""How fast the engines are on this machine.

In: an engine or a model profile. Out: latencies, images a second, memory. Refuses: nothing of its own.
"""
