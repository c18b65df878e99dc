"""Objects behind URLs, through fsspec: read by byte ranges (`object`), written so that they appear whole (`upload`)."""
