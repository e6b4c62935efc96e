"""Workflow annotations of GitHub Actions."""
