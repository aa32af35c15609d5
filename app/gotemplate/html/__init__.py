"""html/template's escaping: what a template puts into HTML is made safe for the place it is put in."""
