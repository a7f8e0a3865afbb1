"""A run: its steps, checkpoints, folder, record, display, and the devices that it trains on."""
