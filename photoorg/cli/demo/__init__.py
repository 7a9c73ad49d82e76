"""The demonstration: a small photo library, real questions over HTTP, a contact sheet."""
