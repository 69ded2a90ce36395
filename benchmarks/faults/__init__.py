"""What kills, outages, power cuts and hostile inputs do."""
