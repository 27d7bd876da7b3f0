"""
The extension modules; all other metadata is in pyproject.toml.
"""

from setuptools import Extension, setup

setup(
    # Where no compiler is at hand the gateway runs on the Python twins of these.
    ext_modules=[
        Extension(
            name,
            [name.replace(".", "/") + ".c"],
            optional=True,
            py_limited_api=True,
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
        )
        for name in ("pptpgw.datapath._mppe", "pptpgw.ports._tun", "pptpgw.tunnels.pptp.port._gre")
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
