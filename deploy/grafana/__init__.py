"""Dashboards as code: `generate` writes what Grafana loads, from the panels of `link`, `latency` and `hosts`."""
