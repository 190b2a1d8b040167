"""The networks of the method as pure Flax modules, channels last: sizes are fields, released sizes are defaults."""
