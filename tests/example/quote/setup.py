# A third party's package: its entry points are all that makes its plugins known to pptpgw.
from setuptools import setup

setup(
    name="pptpgw-quote",
    version="0.1",
    py_modules=["pptpgwquote", "pptpgwgtc"],
    install_requires=["pptpgw"],
    entry_points={
        "pptpgw.eap": ["gtc = pptpgwgtc:method"],
        "pptpgw.network": ["quote = pptpgwquote:network"],
        "pptpgw.observer": ["journal = pptpgwquote:observer"],
        "pptpgw.pool": ["sticky = pptpgwquote:pool"],
    },
)
