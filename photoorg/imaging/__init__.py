"""From bytes to pixels, capture data, hashes, quality, thumbnails and pairs."""
