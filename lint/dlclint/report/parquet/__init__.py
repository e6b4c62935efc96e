"""Format `parquet`: tables for programs that read Apache Parquet."""
