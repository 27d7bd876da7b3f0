"""
C{python -m pptpgw.command}, which is the command C{pptpgw}.
"""

from pptpgw.command.main import main

if __name__ == "__main__":
    main()
