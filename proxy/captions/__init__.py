"""Captions: a vision model on an OpenAI-compatible server says what an image shows, for bundles without page words.

Off unless configured. `Captioner` is the whole of it: it decides whether an image may be sent, asks, checks what comes
back, counts the cost and remembers the answer. See `docs/captions.md`.
"""

from proxy.captions.captioner import Captioner
from proxy.captions.outcome import Caption, NoCaption, Refusal, Spent

__all__ = ["Caption", "Captioner", "NoCaption", "Refusal", "Spent"]
