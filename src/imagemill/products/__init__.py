"""Products: recipes, tables, routes, settings and commands of one application in one folder."""
