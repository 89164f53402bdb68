"""The one compiled part: the MQ coder. Everything else about the package stands in pyproject.toml.

Without a C compiler the build goes on, and `proxy.bundle.jbig2` codes the same bytes in Python, a hundred times slower.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "proxy.bundle.jbig2._mq",
            sources=["proxy/bundle/jbig2/_mq.c"],
            depends=["proxy/bundle/jbig2/mq.h"],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],  # one build serves every Python from 3.11 on
            py_limited_api=True,
            optional=True,
        )
    ]
)
