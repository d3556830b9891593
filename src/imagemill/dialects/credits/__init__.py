"""Credits: prices, balances, statements, grants and transfers."""
