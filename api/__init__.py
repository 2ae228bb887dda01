"""The doors: intake, staff, webhooks, worklists, codec. Each door is a small file; `app` puts them together."""
