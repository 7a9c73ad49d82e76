"""Photo organiser and visual search engine: the library under the jobs and the server."""

__version__ = "0.1.0"
