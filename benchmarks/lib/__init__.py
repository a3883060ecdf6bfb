"""What benchmarks share: rival codecs, quality measures, points kept on disk, tables and figures."""
