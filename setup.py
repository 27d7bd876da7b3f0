"""
The extension modules; all other metadata is in pyproject.toml.
"""

from glob import glob

from setuptools import Extension, setup

# Each module has its own file, and some link C without Python, which other programs could link too.
MPPE = ("mppe", "state", "rc4", "streams", "sha1", "sha1x86", "sha1arm")
OFFLOAD = ("checksum", "coalesce", "segment")
LANES = ("fair", "gre", "lanes")
THREAD = ("clamp", "command", "datagram", "engine", "gap", "inward", "judge", "l2tp", "message")
THREAD += ("outgoing", "precedence", "receive", "run", "session", "table", "timer", "transmit")
THREAD += ("window",)
PLAIN = {
    "pptpgw.datapath._mppe": MPPE,
    "pptpgw.datapath._native": (*MPPE, *OFFLOAD, *LANES, *THREAD),
    "pptpgw.ports._tun": OFFLOAD,
    "pptpgw.ppp._des": (),
    "pptpgw.ppp._md4": (),
    "pptpgw.tunnels.pptp.port._gre": LANES,
}
# What else belongs to a module.
OTHER = {
    "pptpgw.datapath._native": ["pptpgw/datapath/_nativesession.c"],
    "pptpgw.tunnels.pptp.port._gre": ["pptpgw/tunnels/pptp/port/_receiver.c"],
}

# tests/fuzz/build.py reads the above.
if __name__ == "__main__":
    setup(
        # Where no compiler is at hand the gateway runs on the Python twins of these.
        ext_modules=[
            Extension(
                name,
                [
                    name.replace(".", "/") + ".c",
                    *OTHER.get(name, ()),
                    *(f"pptpgw/datapath/native/{one}.c" for one in plain),
                ],
                depends=glob("pptpgw/**/*.h", recursive=True),
                optional=True,
                py_limited_api=True,
                define_macros=[("Py_LIMITED_API", "0x030B0000")],
                # A module calls its own functions, never those of that name in another library.
                extra_compile_args=["-fvisibility=hidden", "-pthread"],
                extra_link_args=["-pthread"],
            )
            for name, plain in PLAIN.items()
        ],
        options={"bdist_wheel": {"py_limited_api": "cp311"}},
    )
