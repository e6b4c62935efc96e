"""Reports of GitLab's Code Quality."""
