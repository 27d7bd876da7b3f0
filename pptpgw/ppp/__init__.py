"""
Link state: LCP, authentication, CCP and what every control protocol shares (RFC 1661).
"""
