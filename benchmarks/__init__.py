"""gconv against its peers: what `gconv bench` runs. README.md beside this file says how."""
