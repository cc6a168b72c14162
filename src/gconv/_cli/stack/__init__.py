"""``gconv filter`` on stacks: pages from TIFF and Zarr, responses as Zarr, chunk by chunk."""
