"""Files of snapshots: plain data as bytes, and a container of RAM that is read page by page."""
