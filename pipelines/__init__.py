"""Ray Data jobs over the photoorg library; each module is one job."""
