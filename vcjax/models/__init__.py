"""Networks as Flax modules, channels last; the defaults of their fields are the released sizes."""
