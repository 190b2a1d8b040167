"""Operations with a platform-specific implementation, selected when a function is traced."""
