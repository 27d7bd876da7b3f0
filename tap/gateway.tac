# An application of your own around the gateway: twistd -n -y gateway.tac
#
# `twistd pptpgw` needs no such file; take this one where the gateway is a part of something larger.

from twisted.application.service import Application

from pptpgw.tap import Options, makeService

options = Options()
options.parseOptions(["--config", "/etc/pptpgw/pptpgw.toml", "--auth", "chap-secrets:/etc/pptpgw/chap-secrets"])

application = Application("pptpgw")
makeService(options).setServiceParent(application)
