"""
C{python -m pptpgw.command} is C{pptpgw}.
"""

from pptpgw.command.main import main

if __name__ == "__main__":
    main()
