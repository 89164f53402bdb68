"""All rules, entered by importing the modules that hold them."""

from tests.conformance.rule import RULES, Rule
from tests.conformance.rules import caching, content, methods, ours, pictures, wires

__all__ = ["RULES", "Rule", "caching", "content", "methods", "ours", "pictures", "wires"]
