"""
The gateway's figures for Prometheus. Their names are a contract with those who have dashboards and
alerts.
"""
