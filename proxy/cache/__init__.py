"""The HTTP cache of RFC 9111: what may be kept, for how long it is good, and what is answered from it.

In: heads of requests and answers, Unix times. Out: decisions as values; entries on a disk. Refuses, in doubt, to keep
or to reuse: then a request goes on as if there were no cache.

Everything but `store` and `background` is pure: no clock, no file, no socket. The sections in comments are those of RFC
9111 unless another standard is named.
"""
