"""The OpenAPI document in the hands of those who read it: linters, and generators of clients."""
