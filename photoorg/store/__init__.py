"""What photoorg keeps: objects in a folder or bucket, runs of Parquet parts, and the catalog."""
