"""
The texts of control frames, in the words of pppd's C{debug} log, such as
C{[LCP ConfReq id=0x1 <mru 1400> <magic 0x1020304>]}.
"""
