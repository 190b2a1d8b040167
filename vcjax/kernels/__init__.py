"""Operations with an implementation for one platform, which is selected when a function is traced, beside a plain form."""
