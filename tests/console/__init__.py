"""Stories of people who use the console in a browser."""
