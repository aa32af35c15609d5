"""Go templates of rules and notifications: their functions, their data, and the default templates."""
