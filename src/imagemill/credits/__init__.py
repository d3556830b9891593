"""Credits: prices, the ledger and the record of paid calls."""
