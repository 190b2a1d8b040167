"""What a video can be composed from: one module a family, one catalogue that everything else goes through."""
