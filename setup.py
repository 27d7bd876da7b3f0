"""
Packages, metadata and the optional extension; tool settings are in pyproject.toml.
"""

import re
from pathlib import Path

from setuptools import Extension, find_packages, setup

here = Path(__file__).parent
version = re.search(r'^__version__ = "(.+)"$', (here / "pptpgw/__init__.py").read_text(), re.M)
assert version is not None

setup(
    name="pptpgw",
    version=version[1],
    description="A PPTP gateway (RFC 2637) on Twisted, with a pluggable PPP core",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The pptpgw developers",
    license="MIT",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: No Input/Output (Daemon)",
        "Framework :: Twisted",
        "Intended Audience :: System Administrators",
        "License :: OSI Approved :: MIT License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: C",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Internet",
        "Topic :: System :: Networking",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    # The drop-in goes into Twisted's own folder of plugins: no __init__.py, here or there.
    packages=[*find_packages(include=["pptpgw", "pptpgw.*"]), "twisted.plugins"],
    # Said although it is the default: only then does an editable install put this folder on the
    # path as a whole, where Twisted finds the drop-in.
    package_dir={"": "."},
    package_data={"pptpgw": ["protocols.toml", "py.typed", "*/*.pyi", "radius/dictionary"]},
    # Where no compiler is at hand the gateway runs on the Python twins of these.
    ext_modules=[
        Extension(
            name,
            [name.replace(".", "/") + ".c"],
            optional=True,
            py_limited_api=True,
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
        )
        for name in ("pptpgw.datapath._mppe", "pptpgw.ports._gre")
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
    # With each of these versions the tests pass: make floors tries them, and the newest.
    install_requires=[
        "twisted >= 24.3",
        "zope.interface >= 6.0",
        "service-identity >= 21.1",
        "pyrad >= 2.6",
        "pycryptodome >= 3.10.1",
        "pyopenssl >= 24.3",
        # From this version on RC4 and DES are in hazmat.decrepit.
        "cryptography >= 43",
    ],
    entry_points={
        "console_scripts": ["pptpgw = pptpgw.command.main:main"],
        "pptpgw.network": [
            "appletalk = pptpgw.network.generic.shipped:appletalk",
            "bridge = pptpgw.network.bridge.network:factory",
            "decnet = pptpgw.network.generic.shipped:decnet",
            "ipv4 = pptpgw.network.ipv4:factory",
            "ipv6 = pptpgw.network.ipv6.network:factory",
            "ipx = pptpgw.network.ipx.network:factory",
            "mpls = pptpgw.network.mpls.network:factory",
            "netbios = pptpgw.network.generic.shipped:netbios",
            "osi = pptpgw.network.generic.shipped:osi",
            "vines = pptpgw.network.generic.shipped:vines",
            "xns = pptpgw.network.generic.shipped:xns",
        ],
        "pptpgw.authentication": [
            "chap = pptpgw.auth.protocols:CHAP",
            "eap = pptpgw.auth.eap:EAP",
            "mschap = pptpgw.auth.protocols:MSCHAP",
            "mschapv2 = pptpgw.auth.protocols:MSCHAPV2",
            "pap = pptpgw.auth.protocols:PAP",
        ],
        "pptpgw.eap": [
            "md5 = pptpgw.auth.eapmethod:MD5",
            "mschapv2 = pptpgw.auth.eapmethod:MSCHAPV2",
            "radius = pptpgw.auth.eapmethod:RELAYED",
            "tls = pptpgw.auth.eaptls:TLS",
        ],
        "pptpgw.pool": ["ranges = pptpgw.session.pool:factory"],
        "pptpgw.tunnel": ["pptp = pptpgw.tunnels.pptp.tunnel:factory"],
        "pptpgw.datapath": ["python = pptpgw.ports.path:factory"],
    },
    extras_require={
        "fuzz": ["atheris >= 3"],
        "postgresql": ["psycopg[binary] >= 3.1.8"],
        "test": [
            "hypothesis",
            "mypy",
            "mypy-zope",
            "packaging",
            "psycopg[binary] >= 3.1.8",
            "pytest",
            "pytest-twisted",
            "ruff",
            "scapy",
            "setuptools >= 64",
            "wheel",
        ],
    },
)
