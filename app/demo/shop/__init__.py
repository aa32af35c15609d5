"""The shop of the demo: small instrumented processes that know nothing of Watchhouse but where to send to.

frontend → checkout → payments, and a load generator before them. Each is scraped at /metrics. The frontend and
checkout log by the Fluent forward protocol, as Fluent Bit would ship their lines; payments uses OpenTelemetry.
"""
