"""What people look at: figures, tables and overlays."""

DISCLAIMER = "Research software, not a medical device."
SYNTHETIC = "SYNTHETIC DATA: simulated in whole or in part."
