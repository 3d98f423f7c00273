"""Dashboards, alerts and runbooks: data that ships. The modules here only rebuild it (`make dashboards`)."""
